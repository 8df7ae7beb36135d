"""Changes of known values that a message gives as a difference: "one more person", "half an hour later"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.span import RelativeUpdate, Span
from clawdbot_dialogue.core.understanding.extraction_targets import ExtractionTargets

_MINUTES_PER_DAY = 24 * 60


def updated_slots(
    flow: Flow, targets: ExtractionTargets, known: Mapping[str, object], text: str
) -> Iterator[tuple[Slot, Span[object]]]:
    """The slots that a text changes by a difference, and their new values.

    Args:
        flow: Declares the slots.
        targets: The slots that may be corrected.
        known: The known values.
        text: Normalized, with digits.
    """
    for each in flow.locale.relative_updates(text):
        slots = _updatable(flow, targets, known, each.value.kind, text[each.end :])
        value = _updated(known[slots[0].name], each.value) if len(slots) == 1 else None
        if value is not None:
            yield _asked_slot(targets, known, each.value.kind) or slots[0], Span(each.start, each.end, value)


def _asked_slot(targets: ExtractionTargets, known: Mapping[str, object], kind: str) -> Slot | None:
    """The slot that was asked for, if it is of that kind: "two days later" answers "when do you leave?"."""
    slots = targets.by_type.get(kind, ()) if kind != "number" and targets.asked not in known else ()
    return next((slot for slot in slots if slot.name == targets.asked), None)


def _updatable(
    flow: Flow, targets: ExtractionTargets, known: Mapping[str, object], kind: str, after: str
) -> list[Slot]:
    """The slots that an update may apply to; for a number those whose unit is named, else those of people."""
    slots = targets.numeric if kind == "number" else targets.by_type.get(kind, ())
    known_slots = [slot for slot in slots if slot.name in known and not slot.is_list_item]
    if kind != "number":
        return known_slots
    words = flow.vocabulary.slots
    named = [slot for slot in known_slots if words[slot.name].counts(after)]
    if named or not flow.locale.counts_people(after):
        return named
    return [slot for slot in known_slots if words[slot.name].counts_any(flow.locale.people_units)]


def _updated(value: object, update: RelativeUpdate) -> object:
    """The new value; None if it cannot be computed, or if a time would leave its day."""
    if update.kind == "number":
        return value + update.amount if isinstance(value, int | float) else None
    if not isinstance(value, str):
        return None
    if update.kind == "date":
        try:
            return (date.fromisoformat(value) + timedelta(days=update.amount)).isoformat()
        except (ValueError, OverflowError):
            return None
    hour, _, minute = value.partition(":")
    minutes = 60 * int(hour) + int(minute) + update.amount
    return f"{minutes // 60:02}:{minutes % 60:02}" if 0 <= minutes < _MINUTES_PER_DAY else None
