"""Text, numbers, booleans and enums."""

from __future__ import annotations

import math
import sys
from datetime import datetime

from clawdbot_dialogue.core.flow.slots.slot import MAX_INTEGER, Bounds, Slot, SlotType, SlotValueError
from clawdbot_dialogue.core.language.language_pack import LanguagePack


def _string(slot: Slot, value: object, _: datetime | None) -> object:
    if not isinstance(value, str):
        raise SlotValueError("not_text")
    text = value.strip()
    if len(text) < max(slot.min_length, 1):
        raise SlotValueError("too_short", max(slot.min_length, 1))
    if len(text) > slot.max_length:
        raise SlotValueError("too_long", slot.max_length)
    if slot.pattern and not slot.pattern.fits(text):
        raise SlotValueError("no_match")
    return text


def _integer(slot: Slot, value: object, _: datetime | None) -> object:
    # Callers' values come in a google.protobuf.Struct, where 4 is 4.0.
    number = (
        int(value) if isinstance(value, float) and math.isfinite(value) and value == int(value) else value
    )
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) > MAX_INTEGER:
        raise SlotValueError("not_integer")
    return check_bounds(slot, number)


def _number(slot: Slot, value: object, _: datetime | None) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
        raise SlotValueError("not_number")
    # Always a float, so that expressions see one type whatever the person wrote.
    return check_bounds(slot, float(value))


def check_bounds(slot: Slot, value: int | float) -> int | float:
    """The number, if it is within the slot's bounds.

    Raises:
        SlotValueError: it is too small or too large.
    """
    if isinstance(slot.minimum, int | float) and value < slot.minimum:
        raise SlotValueError("too_small", slot.minimum)
    if isinstance(slot.maximum, int | float) and value > slot.maximum:
        raise SlotValueError("too_large", slot.maximum)
    return value


def _boolean(_: Slot, value: object, __: datetime | None) -> object:
    if not isinstance(value, bool):
        raise SlotValueError("not_boolean")
    return value


def _enum(slot: Slot, value: object, _: datetime | None) -> object:
    if not isinstance(value, str) or value not in slot.values:
        raise SlotValueError("not_a_value", ", ".join(slot.values))
    return value


def format_boolean(value: bool, locale: LanguagePack) -> str:
    """A boolean for a person: "yes" or "no" in the locale's language."""
    return locale.messages["yes" if value else "no"]


def _format_boolean(_: Slot, value: bool, locale: LanguagePack) -> str:
    return format_boolean(value, locale)


def _whole_number(bound: object) -> object:
    return bound if isinstance(bound, int) else None


def _any_number(bound: object) -> object:
    return bound if isinstance(bound, int | float) else None


NUMBERS = Bounds("a number", _any_number)
TYPES: tuple[SlotType, ...] = (
    SlotType("string", "string", _string, options=frozenset({"min_length", "max_length", "pattern"})),
    SlotType(
        "integer",
        "int",
        _integer,
        Bounds("a whole number", _whole_number),
        allows_duplicates=True,
    ),
    SlotType("number", "double", _number, NUMBERS, allows_duplicates=True),
    SlotType("boolean", "bool", _boolean, format=_format_boolean),
    SlotType("enum", "string", _enum, options=frozenset({"values"})),
)
