"""Finds where a text or a guard wants a value that may not be there.

A slot counts as filled after a state that collects it, or an action that sets it, and as empty after a
`clear`; values given when a conversation is opened are not counted on. That is a data-flow problem over the
states: what is surely filled on every way. Regions that go on side by side fill slots for what comes after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.expressions import Expression
from clawdbot_dialogue.core.flow.model import Action, Assign, Clear, Flow, State, Transition, Utter
from clawdbot_dialogue.core.flow.reading import Document, Path
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.tree import below, path_between, written_at
from clawdbot_dialogue.core.flow.ways import reachable, ways

_SLOT = re.compile(r"(?<![\w.])slots\.(\w+)")
_ASKED_FOR = re.compile(r"\bhas\(\s*slots\.(\w+)\s*\)")
_RESULTS = ("call", "subflow")
"""Kinds of state after which there is a result."""


def missing_values(flow: Flow, document: Document, findings: Findings) -> None:
    """Tells gaps for a result where no tool was called (errors), and slots that may be empty (warnings)."""
    calling = (state for state in flow.states.values() if state.kind in _RESULTS)
    after_call = reachable(flow, {to for state in calling for to in ways(state)})
    for name, known in surely_filled(flow).items():
        state = flow.states[name]
        look = _Look(document, findings, resulted=name in after_call)
        at = written_at(flow.states, name)
        for text, path in _texts(state, at):
            look.at_text(text, known, path)
        look.resulted |= state.kind in _RESULTS
        for way in _own(state):
            then = known if way.event else known | frozenset(state.collect)
            look.at_way(way, then, (*at, "next", way.number))
        for slot in state.collect:
            look.at_slots(_gaps(flow.slots[slot].ask), known, ("slots", slot, "ask"))
            known |= {slot}


@dataclass(slots=True)
class _Look:
    """Looks at the texts and guards of one state."""

    document: Document
    findings: Findings
    resulted: bool
    """Whether a tool was called before."""

    def at_way(self, way: Transition, known: frozenset[str], path: Path) -> None:
        self.at_slots(_used(way.guard), known, (*path, "if"))
        for action in way.actions:
            if isinstance(action, Utter):
                self.at_text(action.text, known, (*path, "say"))

    def at_text(self, text: Template, known: frozenset[str], path: Path) -> None:
        for gap in text.gaps:
            if gap.scope == "result" and not self.resulted:
                message = f"{{{gap.text}}} has no value: no tool was called before."
                hint = "Put it in a state that follows a call."
                self.findings.error("missing-value", message, self.document.at(path), hint)
        self.at_slots(_gaps(text), known, path)

    def at_slots(self, names: Iterable[str], known: frozenset[str], path: Path) -> None:
        for name in names:
            if name not in known:
                tested = "Collect it before, or test it with has(slots.…)."
                hint = tested if path[-1] == "if" else "Collect it before."
                message = f'"{name}" may have no value here.'
                self.findings.warning("maybe-missing", message, self.document.at(path), hint)


def surely_filled(flow: Flow) -> Mapping[str, frozenset[str]]:
    """For each state that the flow can come to, the slots that have a value whatever way led there."""
    return _Filling(flow).run()


class _Filling:
    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._filled: dict[str, frozenset[str]] = {}
        self._waiting: list[str] = []

    def run(self) -> Mapping[str, frozenset[str]]:
        states = self._flow.states
        for start in (self._flow.initial, self._flow.on_handoff):
            if start:
                self._enter(states[start], "", frozenset())
        while self._waiting:
            state = states[self._waiting.pop()]
            for way, known in self._after(state, self._filled[state.name]):
                if way.to:
                    left = self._left(state, way.domain, known)
                    self._enter(states[way.to], way.domain, _acted(way.actions, left))
        return self._filled

    def _enter(self, target: State, holder: str, known: frozenset[str]) -> None:
        """Comes to a state from within a holder, through those in between, and to where it begins."""
        states = self._flow.states
        for outer in path_between(target.ancestors, holder):
            known = _acted(states[outer].entry, known)
            if self._meet(outer, known) and states[outer].kind == "parallel":
                beside = (each for each in states[outer].children if each != target.name)
                self._enter_all((each for each in beside if each not in target.ancestors), outer, known)
        known = _acted(target.entry, known)
        if not self._meet(target.name, known):
            return
        if target.kind == "compound":
            self._enter(states[target.initial], target.name, known)
        elif target.kind == "parallel":
            self._enter_all(target.children, target.name, known)
        elif target.kind == "history":
            beside = (each for each in states[target.parent].children if each != target.name)
            # What had a value when it was left still has, unless it was forgotten meanwhile.
            self._enter_all(beside, target.parent, known | self._kept_outside(target.parent))
        else:
            self._waiting.append(target.name)

    def _kept_outside(self, holder: str) -> frozenset[str]:
        """The slots that nothing outside a state clears."""
        outside = (state for state in self._flow.states.values() if not below(state, holder))
        cleared = {
            action.slot
            for state in outside
            for actions in (state.entry, state.exit, *(way.actions for way in _own(state)))
            for action in actions
            if isinstance(action, Clear)
        }
        return frozenset(self._flow.slots) - cleared

    def _enter_all(self, names: Iterable[str], holder: str, known: frozenset[str]) -> None:
        for name in names:
            self._enter(self._flow.states[name], holder, known)

    def _meet(self, name: str, known: frozenset[str]) -> bool:
        """Whether what is surely filled there is less than was thought."""
        before = self._filled.get(name)
        less = known if before is None else before & known
        self._filled[name] = less
        return less != before

    def _left(self, state: State, holder: str, known: frozenset[str]) -> frozenset[str]:
        for name in (state.name, *reversed(path_between(state.ancestors, holder))):
            known = _acted(self._flow.states[name].exit, known)
        return known

    def _after(self, state: State, before: frozenset[str]) -> Iterator[tuple[Transition, frozenset[str]]]:
        done = before | frozenset(state.collect)
        if state.joins:
            done = self._joined(state.joins)
        for way in (*state.next, *state.errors):
            yield way, done
        for way in state.events:
            yield way, before
        for aside in (state.no_match, state.timeout):
            if aside and aside.to:
                yield Transition(aside.to, aside.source, aside.domain), before

    def _joined(self, parallel: str) -> frozenset[str]:
        """What the regions of a parallel state have filled once all have ended."""
        states, joined = self._flow.states, frozenset[str]()
        for region in states[parallel].children:
            ends = [
                self._filled[child]
                for child in states[region].children
                if states[child].joins == parallel and child in self._filled
            ]
            joined |= frozenset(self._flow.slots) if not ends else frozenset.intersection(*ends)
        return joined


def _acted(actions: Sequence[Action], known: frozenset[str]) -> frozenset[str]:
    for action in actions:
        if isinstance(action, Assign):
            known |= {action.slot}
        elif isinstance(action, Clear):
            known -= {action.slot}
    return known


def _own(state: State) -> Iterator[Transition]:
    """The transitions of a state that it does not have from one that holds it."""
    return (way for way in (*state.next, *state.errors, *state.events) if way.source == state.name)


def _texts(state: State, at: Path) -> Iterator[tuple[Template, Path]]:
    """A state's own texts and where they stand."""
    if state.say:
        yield state.say, (*at, "say")
    if state.generation:
        yield state.generation.instructions, (*at, "generate", "instructions")


def _gaps(text: Template) -> Iterator[str]:
    return (gap.path[0] for gap in text.gaps if gap.scope == "slots")


def _used(guard: Expression | None) -> Iterator[str]:
    if guard:
        tested = set(_ASKED_FOR.findall(guard.text))
        yield from (name for name in _SLOT.findall(guard.text) if name not in tested)
