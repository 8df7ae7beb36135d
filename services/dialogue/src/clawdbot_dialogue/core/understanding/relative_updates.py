"""A message that moves a value that is known: "one more person", "half an hour later", 提前一天."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.language.span import Found, Shift
from clawdbot_dialogue.core.understanding.extraction_targets import Sought

_DAY = 24 * 60


def shifted(
    flow: Flow, wanted: Sought, known: Mapping[str, object], text: str
) -> Iterator[tuple[Slot, Found[object]]]:
    """The slots that a text moves, and what they become.

    Args:
        flow: Declares the slots.
        wanted: Those that may be corrected.
        known: The values that there are.
        text: Folded, with digits.
    """
    for each in flow.locale.shifts(text):
        slots = _movable(flow, wanted, known, each.value.kind, text[each.end :])
        value = _moved(known[slots[0].name], each.value) if len(slots) == 1 else None
        if value is not None:
            yield _asked(wanted, known, each.value.kind) or slots[0], Found(each.start, each.end, value)


def _asked(wanted: Sought, known: Mapping[str, object], kind: str) -> Slot | None:
    """The slot that was asked for, where it is of that kind: "two days later" is when they leave."""
    slots = wanted.slots.get(kind, ()) if kind != "number" and wanted.asked not in known else ()
    return next((slot for slot in slots if slot.name == wanted.asked), None)


def _movable(flow: Flow, wanted: Sought, known: Mapping[str, object], kind: str, after: str) -> list[Slot]:
    """The slots that a shift may be of; of numbers those whose things are named, else that of people."""
    slots = wanted.counting if kind == "number" else wanted.slots.get(kind, ())
    held = [slot for slot in slots if slot.name in known and not slot.listed]
    if kind != "number":
        return held
    words = flow.vocabulary.slots
    named = [slot for slot in held if words[slot.name].counts(after)]
    if named or not flow.locale.of_people(after):
        return named
    return [slot for slot in held if words[slot.name].counts_any(flow.locale.people)]


def _moved(value: object, shift: Shift) -> object:
    """The value moved; None for one that cannot be, or not within its day."""
    if shift.kind == "number":
        return value + shift.amount if isinstance(value, int | float) else None
    if not isinstance(value, str):
        return None
    if shift.kind == "date":
        try:
            return (date.fromisoformat(value) + timedelta(days=shift.amount)).isoformat()
        except (ValueError, OverflowError):
            return None
    hour, _, minute = value.partition(":")
    minutes = 60 * int(hour) + int(minute) + shift.amount
    return f"{minutes // 60:02}:{minutes % 60:02}" if 0 <= minutes < _DAY else None
