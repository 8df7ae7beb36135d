"""What `clawdbot flow test` says: for a person, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from clawdbot_dialogue.flow_testing.coverage import Coverage, Missing
from clawdbot_dialogue.flow_testing.runner import Outcome

from clawdbot_cli.flow.test_run import Held, Trial
from clawdbot_cli.sanitize import harmless

FORMAT: Final = 1
"""Of the JSON object; grows when a field changes its meaning or goes."""


def text(trial: Trial, *, covered: bool) -> str:
    """A line for each conversation, or for each failure of one; what is not covered; the counts."""
    lines = [line for held in trial.files for line in _file(held)]
    if covered:
        lines += [line for each in trial.coverage for line in _coverage(each)]
    lines.append(summary(trial))
    return harmless("\n".join(lines))


def summary(trial: Trial) -> str:
    """As in: 12 passed, 1 failed (0.34 s)."""
    parts = [f"{len(trial.outcomes) - trial.failed} passed"]
    parts += [f"{trial.failed} failed"] if trial.failed else []
    parts += [f"{trial.faulty} unusable"] if trial.faulty else []
    return f"{', '.join(parts)} ({trial.seconds:.2f} s)"


def as_json(trial: Trial, *, covered: bool) -> str:
    """One object; docs/cli.md says what is in it."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "files": [
            {"file": held.file, "fault": held.fault, "conversations": [*map(_outcome, held.outcomes)]}
            for held in trial.files
        ],
        "summary": {
            "passed": len(trial.outcomes) - trial.failed,
            "failed": trial.failed,
            "unusable": trial.faulty,
            "seconds": round(trial.seconds, 3),
        },
    }
    if covered:
        found["coverage"] = [*map(_covered, trial.coverage)]
    return json.dumps(found, indent=2, ensure_ascii=False)


def _file(held: Held) -> Iterator[str]:
    yield held.file
    if held.fault:
        yield from (f"  {line}" for line in held.fault.splitlines())
    for outcome in held.outcomes:
        yield from (f"  {line}" for line in outcome.render().splitlines())


def _coverage(covered: Coverage) -> Iterator[str]:
    states = f"{covered.states - len(covered.missing_states)} of {covered.states} states"
    ways = f"{covered.ways - len(covered.missing_ways)} of {covered.ways} transitions"
    shares = f"{states} ({covered.of_states:.0f} %), {ways} ({covered.of_ways:.0f} %)"
    yield f"coverage of {covered.flow}: {shares}"
    for heading, missing in (("entered", covered.missing_states), ("taken", covered.missing_ways)):
        yield from (f"  {covered.file}:{each.line}: never {heading}: {each.text}" for each in missing)


def _outcome(outcome: Outcome) -> Mapping[str, object]:
    return {
        "name": outcome.name,
        "line": outcome.line,
        "flow": outcome.flow,
        "passed": not outcome.failures,
        "seconds": round(outcome.seconds, 4),
        "failures": [{"line": each.line, "message": each.message} for each in outcome.failures],
    }


def _covered(covered: Coverage) -> Mapping[str, object]:
    return {
        "flow": covered.flow,
        "file": covered.file,
        "states": _share(covered.states, covered.of_states, covered.missing_states),
        "transitions": _share(covered.ways, covered.of_ways, covered.missing_ways),
    }


def _share(total: int, percent: float, missing: Sequence[Missing]) -> Mapping[str, object]:
    names = [{"name": each.text, "line": each.line} for each in missing]
    return {"total": total, "percent": round(percent, 1), "missing": names}


FORMATS: Final[Mapping[str, Callable[..., str]]] = {"text": text, "json": as_json}
