"""Finds where a text or a guard wants a value that may not be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.cel.expressions import Expression
from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.lint.control_flow import reachable, ways
from clawdbot_dialogue.core.flow.lint.definite_assignment import own_ways, surely_filled
from clawdbot_dialogue.core.flow.model import Flow, State, Transition, Utter
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.tree import written_at

_SLOT = re.compile(r"(?<![\w.])slots\.(\w+(?:\.\w+)*)")
_ASKED_FOR = re.compile(r"\bhas\(\s*slots\.(\w+(?:\.\w+)*)\s*\)")
_RESULTS = ("call", "subflow")
"""Kinds of state after which there is a result."""


def missing_values(flow: Flow, document: Document, findings: Findings) -> None:
    """Tells gaps for a result where no tool was called (errors), and slots that may be empty (warnings)."""
    calling = (state for state in flow.states.values() if state.kind in _RESULTS)
    after_call = reachable(flow, {to for state in calling for to in ways(state)})
    filled = surely_filled(flow)
    for name, known in filled.states.items():
        state = flow.states[name]
        look = _Look(flow.slots, document, findings, resulted=name in after_call)
        at = written_at(flow.states, name)
        for text, path in _texts(state, at):
            look.at_text(text, known, path)
        look.resulted |= state.kind in _RESULTS
        for way in own_ways(state):
            then = filled.ways.get((name, way.number), known | frozenset(state.collect))
            look.at_way(way, then, (*at, "next", way.number))
        for slot in state.collect:
            for part in flow.slots[slot].within():
                look.at_slots(_gaps(part.ask), known, (*_written(flow.slots[slot], part), "ask"))
            known |= {slot}


@dataclass(slots=True)
class _Look:
    """Looks at the texts and guards of one state."""

    slots: Mapping[str, Slot]
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

    def at_slots(self, used: Iterable[str], known: frozenset[str], path: Path) -> None:
        for each in used:
            name = each.partition(".")[0]
            missing = name if name not in known else self._optional(each)
            if missing:
                can = "Collect it before" if missing == name else "Do not say `required: false`"
                hint = f"{can}, or test it with has(slots.…)." if path[-1] == "if" else f"{can}."
                message = f'"{missing}" may have no value here.'
                self.findings.warning("maybe-missing", message, self.document.at(path), hint)

    def _optional(self, used: str) -> str:
        """The part on a path into a slot without which the slot has a value; empty for none."""
        name, *keys = used.split(".")
        slot: Slot | None = self.slots.get(name)
        for at, key in enumerate(keys, 1):
            slot = slot and slot.part(key)
            if slot and not slot.required:
                return ".".join((name, *keys[:at]))
        return ""


def _texts(state: State, at: Path) -> Iterator[tuple[Template, Path]]:
    """A state's own texts and where they stand."""
    if state.say:
        yield state.say, (*at, "say")
    if state.generation:
        yield state.generation.instructions, (*at, "generate", "instructions")


def _written(slot: Slot, part: Slot) -> Path:
    """Where a part of a slot stands in the document."""
    root, *fields = part.name.split(".")
    items = ("items",) if slot.item and fields else ()
    fields = fields[1:] if items else fields
    return ("slots", root, *items, *(key for field in fields for key in ("fields", field)))


def _gaps(text: Template) -> Iterator[str]:
    return (".".join(gap.path) for gap in text.gaps if gap.scope == "slots")


def _used(guard: Expression | None) -> Iterator[str]:
    if guard:
        tested = set(_ASKED_FOR.findall(guard.text))
        yield from (name for name in _SLOT.findall(guard.text) if name not in tested)
