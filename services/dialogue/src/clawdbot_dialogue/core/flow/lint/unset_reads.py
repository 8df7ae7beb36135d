"""Finds texts and guards that read a value which may not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.cel.expressions import Expression
from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.lint.analysis.control_flow import own_transitions, reachable, successors
from clawdbot_dialogue.core.flow.lint.analysis.definite_assignment import TooManyPaths, definite_assignments
from clawdbot_dialogue.core.flow.model import Flow, State, Transition, Utter
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.tree import document_path

_SLOT = re.compile(r"(?<![\w.])slots\.(\w+(?:\.\w+)*)")
_HAS_TEST = re.compile(r"\bhas\(\s*slots\.(\w+(?:\.\w+)*)\s*\)")
_RESULT_KINDS = ("call", "subflow")
"""Kinds of state after which there is a result."""


def check_unset_reads(flow: Flow, document: Document, diagnostics: DiagnosticCollector) -> None:
    """Reports reads of a result where no tool has been called (errors), and of unset slots (warnings)."""
    calling = (state for state in flow.states.values() if state.kind in _RESULT_KINDS)
    after_call = reachable(flow, {to for state in calling for to in successors(state)})
    try:
        assignments = definite_assignments(flow)
    except TooManyPaths:
        message = "The flow has too many paths to tell where its slots have a value."
        diagnostics.warning("too-large", message, document.at(("states",)), "Split it into several flows.")
        return
    for name, known in assignments.in_state.items():
        state = flow.states[name]
        checker = _ReadChecker(flow.slots, document, diagnostics, has_result=name in after_call)
        at = document_path(flow.states, name)
        for text, path in _own_texts(state, at):
            checker.check_text(text, known, path)
        checker.has_result |= state.kind in _RESULT_KINDS
        for transition in own_transitions(state):
            then = assignments.at_transition.get((name, transition.number), known | frozenset(state.collect))
            checker.check_transition(transition, then, (*at, "next", transition.number))
        for slot in state.collect:
            for part in flow.slots[slot].walk():
                path = (*_declaration_path(flow.slots[slot], part), "ask")
                checker.check_slots(_slot_placeholders(part.ask), known, path)
            known |= {slot}


@dataclass(slots=True)
class _ReadChecker:
    """Checks the texts and guards of one state."""

    slots: Mapping[str, Slot]
    document: Document
    diagnostics: DiagnosticCollector
    has_result: bool
    """Whether a tool may have been called before."""

    def check_transition(self, transition: Transition, known: frozenset[str], path: Path) -> None:
        self.check_slots(_guard_reads(transition.guard), known, (*path, "if"))
        for action in transition.actions:
            if isinstance(action, Utter):
                self.check_text(action.text, known, (*path, "say"))

    def check_text(self, text: Template, known: frozenset[str], path: Path) -> None:
        for each in text.placeholders:
            if each.scope == "result" and not self.has_result:
                message = f"{{{each.text}}} has no value: no tool has been called before."
                hint = "Move it to a state after a call."
                self.diagnostics.error("missing-value", message, self.document.at(path), hint)
        self.check_slots(_slot_placeholders(text), known, path)

    def check_slots(self, reads: Iterable[str], known: frozenset[str], path: Path) -> None:
        for each in reads:
            name = each.partition(".")[0]
            missing = name if name not in known else self._optional_part(each)
            if missing:
                advice = "Collect it before" if missing == name else "Remove `required: false`"
                hint = (
                    f"{advice}, or test it with has(slots.{missing})." if path[-1] == "if" else f"{advice}."
                )
                message = f'"{missing}" may have no value here.'
                self.diagnostics.warning("maybe-missing", message, self.document.at(path), hint)

    def _optional_part(self, read: str) -> str:
        """The first optional part on a path into a slot; empty if there is none."""
        name, *keys = read.split(".")
        slot: Slot | None = self.slots.get(name)
        for at, key in enumerate(keys, 1):
            slot = slot and slot.part(key)
            if slot and not slot.required:
                return ".".join((name, *keys[:at]))
        return ""


def _own_texts(state: State, at: Path) -> Iterator[tuple[Template, Path]]:
    """A state's own texts and their paths in the document."""
    if state.say:
        yield state.say, (*at, "say")
    if state.generation:
        yield state.generation.instructions, (*at, "generate", "instructions")


def _declaration_path(slot: Slot, part: Slot) -> Path:
    """The path of a part of a slot in the document."""
    root, *fields = part.name.split(".")
    items = ("items",) if slot.item and fields else ()
    fields = fields[1:] if items else fields
    return ("slots", root, *items, *(key for field in fields for key in ("fields", field)))


def _slot_placeholders(text: Template) -> Iterator[str]:
    return (".".join(each.path) for each in text.placeholders if each.scope == "slots")


def _guard_reads(guard: Expression | None) -> Iterator[str]:
    if guard:
        tested = set(_HAS_TEST.findall(guard.text))
        yield from (name for name in _SLOT.findall(guard.text) if name not in tested)
