"""Finds slots that the person is asked for without a question of their own."""

from __future__ import annotations

from collections.abc import Iterator

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource, SlotSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path


def check_missing_questions(
    flow: Flow, source: FlowSource, document: Document, diagnostics: DiagnosticCollector
) -> None:
    """Warns of each slot, or field of one, that is asked for with the default question."""
    collected = {slot for state in flow.states.values() for slot in state.collect}
    for name in source.slots.keys() & collected:
        for path in _without_question(source.slots[name], ("slots", name)):
            message = f'"{path[-1]}" is asked for without a question of its own.'
            diagnostics.warning("no-question", message, document.key_at(path), "Add `ask`.")


def _without_question(slot: SlotSource, path: Path) -> Iterator[Path]:
    """The paths of what is asked for without a question: the slot, or some of its fields."""
    if slot.items and slot.items.fields:
        yield from _without_question(slot.items, (*path, "items"))
    elif slot.fields:
        for name, field in slot.fields.items():
            if field.required is not False:
                yield from _without_question(field, (*path, "fields", name))
    elif slot.ask is None:
        yield path
