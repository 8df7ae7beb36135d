"""How values come together: what is asked for next, in what words, and what an answer fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clawdbot_dialogue.core.flow.slots import partial_values
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotRefused, root_of
from clawdbot_dialogue.core.machine.step_context import Progress


def missing(progress: Progress) -> str:
    """What the state asks for next: a slot that it collects, or a part of one; empty for nothing."""
    for name in progress.here.state.collect:
        if name not in progress.slots:
            slot = progress.flow.slots[name]
            return (slot.composed and _open(progress, slot)) or name
    return ""


def still(progress: Progress, asked: str) -> str:
    """What is to be asked for again after `asked` was, and the answer was of no use."""
    slot = progress.flow.slots[root_of(asked)]
    return (slot.composed and slot.name not in progress.slots and _open(progress, slot)) or asked


def _open(progress: Progress, slot: Slot) -> str:
    wanted = partial_values.missing(slot, progress.drafts.get(slot.name))
    return wanted.name if wanted else ""


def parts(progress: Progress) -> Mapping[str, object]:
    """The parts that are known of what has any, by their paths; of a list that grows, its items so far."""
    if not progress.flow.composed:
        return partial_values.EMPTY
    return {
        path: value
        for slot in progress.flow.composed
        for path, value in partial_values.known(slot, _draft(progress, slot))
    }


def question(progress: Progress, asked: str) -> str:
    """The words that ask for a slot or a part of one; empty for nothing."""
    if not asked:
        return ""
    slot = progress.flow.slots[root_of(asked)]
    if not slot.composed:
        return progress.text(slot.ask)
    texts = map(progress.text, partial_values.question(slot, _draft(progress, slot), asked))
    return progress.flow.locale.joint.join(filter(None, texts))


def fill(progress: Progress, path: str, value: object) -> object:
    """Fills a slot or a part of one, or empties it.

    Args:
        progress: Keeps it.
        path: Of what is filled.
        value: JSON-able; None empties.

    Returns:
        The value as it is kept; of an object what was given.

    Raises:
        SlotRefused: it does not fit. What does is kept, unless the slot has a value: that stays as it was.
    """
    slot = progress.flow.slots[root_of(path)]
    if not slot.composed:
        kept = None if value is None else slot.check(value, progress.now)
        progress.set_slot(path, kept)
        return kept
    had = slot.name in progress.slots
    draft, refused = partial_values.put(
        slot, _draft(progress, slot), path.split(".")[1:], value, progress.now
    )
    lacks = partial_values.missing(slot, draft) if had and value is not None else None
    if lacks:  # half of an optional part
        refused = refused or SlotRefused.of(slot, "part_missing", lacks.spoken)
    if not (had and refused):
        _keep(progress, slot, draft)
    if refused:
        raise refused
    return value if isinstance(value, Mapping) else progress.slots.get(path, value)


def go_on_listing(progress: Progress, name: str, *, more: bool) -> None:
    """The person has more items to name for a list, or has named all.

    Raises:
        SlotRefused: there are too few.
    """
    slot = progress.flow.slots[name]
    draft = _draft(progress, slot)
    _keep(progress, slot, partial_values.another(draft) if more else partial_values.closed(slot, draft))


def _keep(progress: Progress, slot: Slot, draft: partial_values.Draft) -> None:
    """Keeps a draft, or the value that it makes; forgets all where that does not fit, but not a value."""
    value = partial_values.whole(slot, draft)
    if value is None:
        progress.set_slot(slot.name, None)
        progress.set_draft(slot.name, draft)
        return
    try:
        progress.set_slot(slot.name, slot.check(value, progress.now))
    except SlotRefused:
        progress.set_draft(slot.name, partial_values.EMPTY)
        raise


def _draft(progress: Progress, slot: Slot) -> Any:
    if slot.name in progress.slots:
        return partial_values.drafted(slot, progress.slots[slot.name])
    return progress.drafts.get(slot.name, partial_values.EMPTY)
