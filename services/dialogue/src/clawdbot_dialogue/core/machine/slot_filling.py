"""Slot filling: what is asked for next, with which question, and what an answer fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.flow.slots import partial_values
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotValueError, root_slot
from clawdbot_dialogue.core.machine.active_state import ActiveState
from clawdbot_dialogue.core.machine.step_context import StepContext


def next_to_ask(context: StepContext, state: State) -> str:
    """The path of the slot, or part of a slot, that a state asks for next; empty if none."""
    for name in state.collect:
        if name not in context.slots:
            slot = context.flow.slots[name]
            return (slot.is_composite and _open_part(context, slot)) or name
    return ""


def next_to_repeat(context: StepContext, asked: str) -> str:
    """The path to ask for again after an answer to `asked` could not be used."""
    slot = context.flow.slots[root_slot(asked)]
    return (slot.is_composite and slot.name not in context.slots and _open_part(context, slot)) or asked


def _open_part(context: StepContext, slot: Slot) -> str:
    wanted = partial_values.next_missing(slot, context.drafts.get(slot.name))
    return wanted.name if wanted else ""


def known_parts(context: StepContext) -> Mapping[str, object]:
    """The known parts of composite slots, by path; of an unfinished list, the items so far."""
    if not context.flow.composite_slots:
        return partial_values.EMPTY
    return {
        path: value
        for slot in context.flow.composite_slots
        for path, value in partial_values.known_parts(slot, _draft(context, slot))
    }


def question(context: StepContext, active: ActiveState, asked: str) -> str:
    """The question of an active state for a slot or a part of one; empty if `asked` is."""
    if not asked:
        return ""
    slot = context.flow.slots[root_slot(asked)]
    if not slot.is_composite:
        return context.render(slot.ask, active)
    templates = partial_values.question_templates(slot, _draft(context, slot), asked)
    texts = [context.render(each, active) for each in templates]
    return context.flow.locale.sentence_separator.join(filter(None, texts))


def fill_slot(context: StepContext, path: str, value: object) -> object:
    """Sets or clears a slot or a part of one.

    Args:
        context: The conversation.
        path: The path of the slot or part.
        value: JSON-serializable; None clears.

    Returns:
        The value as it is stored; for an object the given value.

    Raises:
        SlotValueError: the value is not valid. The valid parts of it are stored, unless the slot already had
            a value, which then stays unchanged.
    """
    slot = context.flow.slots[root_slot(path)]
    if not slot.is_composite:
        stored = None if value is None else slot.check(value, context.now)
        context.set_slot(path, stored)
        return stored
    had = slot.name in context.slots
    draft, refused = partial_values.set_part(
        slot, _draft(context, slot), path.split(".")[1:], value, context.now
    )
    lacks = partial_values.next_missing(slot, draft) if had and value is not None else None
    if lacks:  # half of an optional part
        refused = refused or SlotValueError.for_slot(slot, "part_missing", lacks.display_name)
    if not (had and refused):
        _store(context, slot, draft)
    if refused:
        raise refused
    return value if isinstance(value, Mapping) else context.slots.get(path, value)


def continue_list(context: StepContext, name: str, *, more: bool) -> None:
    """Asks for another item of a list (`more`), or completes the list.

    Raises:
        SlotValueError: the list has too few items to be complete.
    """
    slot = context.flow.slots[name]
    draft = _draft(context, slot)
    _store(
        context, slot, partial_values.expect_more(draft) if more else partial_values.close_list(slot, draft)
    )


def _store(context: StepContext, slot: Slot, draft: partial_values.PartialValue) -> None:
    """Stores a draft, or its value if it is complete. An invalid value is dropped; the old one stays."""
    value = partial_values.complete_value(slot, draft)
    if value is None:
        context.set_slot(slot.name, None)
        context.set_draft(slot.name, draft)
        return
    try:
        context.set_slot(slot.name, slot.check(value, context.now))
    except SlotValueError:
        context.set_draft(slot.name, partial_values.EMPTY)
        raise


def _draft(context: StepContext, slot: Slot) -> Any:
    if slot.name in context.slots:
        return partial_values.to_partial(slot, context.slots[slot.name])
    return context.drafts.get(slot.name, partial_values.EMPTY)
