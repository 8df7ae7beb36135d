"""Finds where a text or a guard wants a value that may not be there.

A slot counts as filled after a state that collects it, and as empty after a `clear`; values given when a
conversation is opened are not counted on. That is a data-flow problem over the states: what is surely filled
on every way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.expressions import Expression
from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.flow.reading import Document, Path
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.ways import reachable, ways

_SLOT = re.compile(r"(?<![\w.])slots\.(\w+)")
_ASKED_FOR = re.compile(r"\bhas\(\s*slots\.(\w+)\s*\)")


def missing_values(flow: Flow, document: Document, findings: Findings) -> None:
    """Tells gaps for a result where no tool was called (errors), and slots that may be empty (warnings)."""
    after_call = reachable(
        flow, {to for state in flow.states.values() if state.kind == "call" for to in ways(state)}
    )
    filled = surely_filled(flow)
    for name, state in flow.states.items():
        if name not in filled:
            continue
        for text, path in _texts(state):
            if name not in after_call and (
                state.kind != "call" or (path[-1:] == ("say",) and len(path) == 3)
            ):
                _no_result(text, document, path, findings)
            known = filled[name] | (frozenset(state.collect) if len(path) > 3 else frozenset())
            _maybe_empty(
                (gap.path[0] for gap in text.gaps if gap.scope == "slots"), known, document, path, findings
            )
        known = filled[name]
        for slot in state.collect:
            gaps = (gap.path[0] for gap in flow.slots[slot].ask.gaps if gap.scope == "slots")
            _maybe_empty(gaps, known, document, ("slots", slot, "ask"), findings)
            known |= {slot}
        for at, way in enumerate(state.next):
            path = ("states", name, "next", at, "if")
            _maybe_empty(_used(way.guard), known, document, path, findings)


def surely_filled(flow: Flow) -> Mapping[str, frozenset[str]]:
    """For each state that the flow can come to, the slots that have a value whatever way led there."""
    filled = {flow.initial: frozenset[str]()}
    if flow.on_handoff:
        filled[flow.on_handoff] = frozenset()
    waiting = list(filled)
    while waiting:
        name = waiting.pop()
        for target, known in _after(flow.states[name], filled[name]):
            less = filled[target] & known if target in filled else known
            if filled.get(target) != less:
                filled[target] = less
                waiting.append(target)
    return filled


def _after(state: State, before: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    done = before | frozenset(state.collect)
    for way in (*state.next, *state.errors):
        yield way.to, done - frozenset(way.clear)
    for way in (way for each in state.events.values() for way in each):
        yield way.to, before - frozenset(way.clear)
    for aside in (state.no_match, state.timeout):
        if aside and aside.to:
            yield aside.to, before


def _texts(state: State) -> Iterator[tuple[Template, Path]]:
    """A state's texts and where they stand; those of transitions have longer paths."""
    path: Path = ("states", state.name)
    if state.say:
        yield state.say, (*path, "say")
    if state.generation:
        yield state.generation.instructions, (*path, "generate", "instructions")
    if not state.events and not state.errors:
        for at, way in enumerate(state.next):
            if way.say:
                yield way.say, (*path, "next", at, "say")


def _used(guard: Expression | None) -> Iterator[str]:
    if guard:
        tested = set(_ASKED_FOR.findall(guard.text))
        yield from (name for name in _SLOT.findall(guard.text) if name not in tested)


def _no_result(text: Template, document: Document, path: Path, findings: Findings) -> None:
    for gap in text.gaps:
        if gap.scope == "result":
            message = f"{{{gap.text}}} has no value: no tool was called before."
            findings.error(
                "missing-value", message, document.at(path), "Put it in a state that follows a call."
            )


def _maybe_empty(
    names: Iterable[str], known: frozenset[str], document: Document, path: Path, findings: Findings
) -> None:
    for name in names:
        if name not in known:
            hint = (
                "Collect it before, or test it with has(slots.…)."
                if path[-1] == "if"
                else "Collect it before."
            )
            findings.warning("maybe-missing", f'"{name}" may have no value here.', document.at(path), hint)
