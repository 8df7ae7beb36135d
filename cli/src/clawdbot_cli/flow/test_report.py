"""The output of `clawdbot flow test`: for a person, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from clawdbot_dialogue.flow_toolkit import ConversationResult, Coverage, Uncovered

from clawdbot_cli.flow.test_run import FileResult, TestRun
from clawdbot_cli.sanitize import sanitize

FORMAT_VERSION: Final = 1
"""Of the JSON object; grows when a field is removed or changes its meaning."""


def as_text(run: TestRun, *, with_coverage: bool) -> str:
    """A line for each conversation that passed and for each failure, what is not covered, and the counts."""
    lines = [line for result in run.files for line in _file_lines(result)]
    if with_coverage:
        lines += [line for each in run.coverage for line in _coverage_lines(each)]
    lines.append(summary(run))
    return sanitize("\n".join(lines))


def summary(run: TestRun) -> str:
    """Example: 12 passed, 1 failed (0.34 s)."""
    parts = [f"{len(run.outcomes) - run.failed} passed"]
    parts += [f"{run.failed} failed"] if run.failed else []
    parts += [f"{run.unusable} unusable"] if run.unusable else []
    return f"{', '.join(parts)} ({run.seconds:.2f} s)"


def as_json(run: TestRun, *, with_coverage: bool) -> str:
    """One object, described in docs/cli.md."""
    report: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "files": [
            {"file": result.file, "fault": result.error, "conversations": [*map(_outcome, result.outcomes)]}
            for result in run.files
        ],
        "summary": {
            "passed": len(run.outcomes) - run.failed,
            "failed": run.failed,
            "unusable": run.unusable,
            "seconds": round(run.seconds, 3),
        },
    }
    if with_coverage:
        report["coverage"] = [*map(_coverage, run.coverage)]
    return json.dumps(report, indent=2, ensure_ascii=False)


def _file_lines(result: FileResult) -> Iterator[str]:
    yield result.file
    if result.error:
        yield from (f"  {line}" for line in result.error.splitlines())
    for outcome in result.outcomes:
        yield from (f"  {line}" for line in outcome.render().splitlines())


def _coverage_lines(covered: Coverage) -> Iterator[str]:
    states = f"{covered.states - len(covered.uncovered_states)} of {covered.states} states"
    transitions = f"{covered.edges - len(covered.uncovered_edges)} of {covered.edges} transitions"
    shares = f"{states} ({covered.state_percent:.0f} %), {transitions} ({covered.edge_percent:.0f} %)"
    yield f"coverage of {covered.flow}: {shares}"
    for heading, missing in (("entered", covered.uncovered_states), ("taken", covered.uncovered_edges)):
        yield from (f"  {covered.file}:{each.line}: never {heading}: {each.text}" for each in missing)


def _outcome(outcome: ConversationResult) -> Mapping[str, object]:
    return {
        "name": outcome.name,
        "line": outcome.line,
        "flow": outcome.flow,
        "passed": not outcome.failures,
        "seconds": round(outcome.seconds, 4),
        "failures": [{"line": each.line, "message": each.message} for each in outcome.failures],
    }


def _coverage(covered: Coverage) -> Mapping[str, object]:
    return {
        "flow": covered.flow,
        "file": covered.file,
        "states": _share(covered.states, covered.state_percent, covered.uncovered_states),
        "transitions": _share(covered.edges, covered.edge_percent, covered.uncovered_edges),
    }


def _share(total: int, percent: float, missing: Sequence[Uncovered]) -> Mapping[str, object]:
    names = [{"name": each.text, "line": each.line} for each in missing]
    return {"total": total, "percent": round(percent, 1), "missing": names}


FORMATS: Final[Mapping[str, Callable[..., str]]] = {"text": as_text, "json": as_json}
