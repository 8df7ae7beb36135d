"""Slots: what a flow wants to know, typed.

Checks and normalises values; every value that a conversation holds went through `Slot.check`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

from clawdbot_servicekit.faults import Violation

from clawdbot_dialogue.core.flow.expressions import Activation, Expression
from clawdbot_dialogue.core.flow.templates import Template

if TYPE_CHECKING:
    from clawdbot_dialogue.core.flow.model import Flow

LARGEST_INTEGER = 2**53
"""Beyond it a google.protobuf.Struct, which carries slots to callers, is not exact."""
LONGEST_TEXT = 10_000
"""Characters of a string slot that names no smaller max_length."""


class SlotRefused(ValueError):
    """A value that does not fit. `purpose` names the locale's wording, `limit` what goes into it."""

    def __init__(self, purpose: str, limit: object = "") -> None:
        self.purpose = purpose
        self.limit = limit
        super().__init__(f"{purpose} {limit}".strip())


class SlotInvalid(ValueError):
    """Values from outside that do not fit a flow's slots."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        self.violations = violations
        self.description = " ".join(f"{each.field}: {each.description}" for each in violations)
        super().__init__(self.description)


@dataclass(frozen=True, slots=True)
class Slot:
    """One declared slot."""

    name: str
    type: str
    """A key of SLOT_TYPES."""
    spoken: str
    """The name as said: "party size"."""
    ask: Template
    asked_only: bool = False
    """Filled only while it is asked for, and asked anew whenever its state is entered: a confirmation."""
    minimum: object = None
    """A number; a day or time as text; for a date also "today", "today+30d"."""
    maximum: object = None
    min_length: int = 0
    max_length: int = LONGEST_TEXT
    pattern: Expression | None = None
    """Whether the value of the slot `value` matches."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For an enum: each value and how else it is said."""
    hints: tuple[str, ...] = ()
    """Words beside a number, or for a person's wish to change it, that point to this slot: people, guests."""
    currencies: tuple[str, ...] = ()
    """For a sum of money: the ISO 4217 codes that it may be in, the one first that is meant where none is
    said; empty for any that is said."""
    region: str = ""
    """For a phone: the country whose numbers need no country code, as in ISO 3166: "GB"."""

    @property
    def names_person(self) -> bool:
        """Whether it asks for somebody's name, by the word "name" in its own: "my name is Ada" fills it."""
        return "name" in self.name.lower().split("_")

    def check(self, value: object, today: date | None) -> object:
        """The value as it is kept.

        Args:
            value: JSON-able.
            today: What "today" means in a bound; None leaves such bounds out.

        Raises:
            SlotRefused: it does not fit.
        """
        return SLOT_TYPES[self.type].check(self, value, today)


@dataclass(frozen=True, slots=True)
class SlotType:
    """One kind of slot."""

    cel: str
    """How expressions see it."""
    options: frozenset[str]
    """The options that make sense for it, besides ask, fill, hints and type."""
    check: Callable[[Slot, object, date | None], object]


def _integer(slot: Slot, value: object, _: date | None) -> object:
    # Callers' values come through google.protobuf.Struct, where 4 is 4.0.
    number = (
        int(value) if isinstance(value, float) and math.isfinite(value) and value == int(value) else value
    )
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) > LARGEST_INTEGER:
        raise SlotRefused("not_integer")
    return _bounded(slot, number)


def _number(slot: Slot, value: object, _: date | None) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < math.inf:
        raise SlotRefused("not_number")
    # Always a float, so that an expression sees one type whatever the person wrote.
    return _bounded(slot, float(value))


def _bounded(slot: Slot, value: float) -> float:
    if isinstance(slot.minimum, int | float) and value < slot.minimum:
        raise SlotRefused("too_small", slot.minimum)
    if isinstance(slot.maximum, int | float) and value > slot.maximum:
        raise SlotRefused("too_large", slot.maximum)
    return value


def _string(slot: Slot, value: object, _: date | None) -> object:
    if not isinstance(value, str):
        raise SlotRefused("not_text")
    text = value.strip()
    if len(text) < max(slot.min_length, 1):
        raise SlotRefused("too_short", max(slot.min_length, 1))
    if len(text) > slot.max_length:
        raise SlotRefused("too_long", slot.max_length)
    if slot.pattern and not slot.pattern.holds(Activation({"slots": {"value": text}})):
        raise SlotRefused("no_match")
    return text


def _boolean(_: Slot, value: object, __: date | None) -> object:
    if not isinstance(value, bool):
        raise SlotRefused("not_boolean")
    return value


def _date(slot: Slot, value: object, today: date | None) -> object:
    day = parse_date(value)
    if day is None:
        raise SlotRefused("not_date")
    first, last = date_bound(slot.minimum, today), date_bound(slot.maximum, today)
    if first and day < first:
        raise SlotRefused("too_early", first)
    if last and day > last:
        raise SlotRefused("too_late_value", last)
    return day.isoformat()


def _time(slot: Slot, value: object, _: date | None) -> object:
    clock = parse_time(value)
    if clock is None:
        raise SlotRefused("not_time")
    # Two-digit clock times order as text.
    if isinstance(slot.minimum, str) and clock < slot.minimum:
        raise SlotRefused("too_early", slot.minimum)
    if isinstance(slot.maximum, str) and clock > slot.maximum:
        raise SlotRefused("too_late_value", slot.maximum)
    return clock


def _enum(slot: Slot, value: object, _: date | None) -> object:
    if not isinstance(value, str) or value not in slot.values:
        raise SlotRefused("not_a_value", ", ".join(slot.values))
    return value


def _duration(slot: Slot, value: object, _: date | None) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LARGEST_INTEGER:
        raise SlotRefused("not_duration")
    length = round(value)
    least, most = duration_bound(slot.minimum), duration_bound(slot.maximum)
    if least is not None and length < least:
        raise SlotRefused("too_small", slot.minimum)
    if most is not None and length > most:
        raise SlotRefused("too_large", slot.maximum)
    return length


def _money(slot: Slot, value: object, _: date | None) -> object:
    given = value if isinstance(value, Mapping) else {"amount": value}
    amount, currency = given.get("amount"), given.get("currency") or next(iter(slot.currencies), "")
    if not isinstance(amount, int | float) or isinstance(amount, bool) or not abs(amount) < LARGEST_INTEGER:
        raise SlotRefused("not_money")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency) or given.keys() - _MONEY:
        raise SlotRefused("not_money")
    if slot.currencies and currency not in slot.currencies:
        raise SlotRefused("not_currency", ", ".join(slot.currencies))
    # Four digits are more than any currency has, and a float tells them exactly up to billions.
    return {"amount": _bounded(slot, round(float(amount), 4)), "currency": currency}


_MONEY = frozenset(("amount", "currency"))
_CURRENCY = re.compile(r"[A-Z]{3}")
_LONGEST_ADDRESS = 320
"""Characters of an e-mail address or phone number that is looked at; RFC 5321 allows 64 + 1 + 255."""


def _email(_: Slot, value: object, __: date | None) -> object:
    if len(str(value)) > _LONGEST_ADDRESS:
        raise SlotRefused("not_email")
    # 25 ms to import, and most flows ask for no address.
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(str(value), check_deliverability=False).normalized
    except EmailNotValidError:
        raise SlotRefused("not_email") from None


def _phone(slot: Slot, value: object, __: date | None) -> object:
    if len(str(value)) > _LONGEST_ADDRESS:
        raise SlotRefused("not_phone")
    # 12 ms to import, and most flows ask for no number.
    import phonenumbers

    try:
        number = phonenumbers.parse(str(value), slot.region or None)
    except phonenumbers.NumberParseException:
        raise SlotRefused("not_phone") from None
    if not phonenumbers.is_valid_number(number):
        raise SlotRefused("not_phone")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_BOUNDS = frozenset({"min", "max"})
SLOT_TYPES: Mapping[str, SlotType] = {
    "string": SlotType("string", frozenset({"min_length", "max_length", "pattern"}), _string),
    "integer": SlotType("int", _BOUNDS, _integer),
    "number": SlotType("double", _BOUNDS, _number),
    "boolean": SlotType("bool", frozenset(), _boolean),
    "date": SlotType("string", _BOUNDS, _date),
    "time": SlotType("string", _BOUNDS, _time),
    "duration": SlotType("int", _BOUNDS, _duration),
    "money": SlotType("dyn", _BOUNDS | {"currencies"}, _money),
    "enum": SlotType("string", frozenset({"values"}), _enum),
    "email": SlotType("string", frozenset(), _email),
    "phone": SlotType("string", frozenset({"region"}), _phone),
}
"""Every type of slot."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}", re.ASCII)
_RELATIVE = re.compile(r"today(?:([+-])(\d{1,4})d)?")


def parse_date(value: object) -> date | None:
    """The day that "2026-12-01" names; None for anything else."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def parse_time(value: object) -> str | None:
    """A time of day with two digits each, "07:05", also for "7:05"; None for anything else."""
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        return None
    hour, minute = (int(part) for part in value.split(":"))
    try:
        return time(hour, minute).isoformat("minutes")
    except ValueError:
        return None


def date_bound(bound: object, today: date | None) -> date | None:
    """The day that a bound names: "2026-12-01", "today+30d"; None where it names none, or today is needed."""
    found = _RELATIVE.fullmatch(bound) if isinstance(bound, str) else None
    if not found:
        return parse_date(bound)
    if today is None:
        return None
    days = int(found[2] or 0) * (-1 if found[1] == "-" else 1)
    return today + timedelta(days=days)


_LENGTH = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration_bound(bound: object) -> float | None:
    """The seconds that a bound names: "30m", "1.5h", "2d"; None where it names none."""
    found = _LENGTH.fullmatch(bound) if isinstance(bound, str) else None
    return float(found[1]) * _SECONDS[found[2]] if found else None


def is_date_bound(bound: object) -> bool:
    """Whether a date slot may have this bound."""
    return parse_date(bound) is not None or (isinstance(bound, str) and bool(_RELATIVE.fullmatch(bound)))


def validate_slots(flow: Flow, values: Mapping[str, object], today: date | None = None) -> dict[str, object]:
    """Values from outside, such as CreateSession's, checked and normalised against what the flow declares.

    Args:
        flow: Declares the slots.
        values: JSON-able; a None leaves its slot empty.
        today: What "today" means in a date's bound; None leaves such bounds out.

    Raises:
        SlotInvalid: with one violation for each value that does not fit.
    """
    checked: dict[str, object] = {}
    violations: list[Violation] = []
    for name, value in values.items():
        slot = flow.slots.get(name)
        if slot is None:
            violations.append(Violation(f"slots.{name}", f"The flow {flow.name} has no slot {name}."))
        elif value is not None:
            try:
                checked[name] = slot.check(value, today)
            except SlotRefused as refused:
                words = flow.locale.wording[refused.purpose]
                reason = words.format(name=slot.spoken, limit=show_limit(flow, slot, refused.limit))
                violations.append(Violation(f"slots.{name}", reason))
    if violations:
        raise SlotInvalid(tuple(violations))
    return checked


def show_limit(flow: Flow, slot: Slot, limit: object) -> str:
    """A bound as a person reads it."""
    if isinstance(limit, date):
        return flow.locale.show_date(limit)
    if slot.type == "duration":
        return flow.locale.show_duration(duration_bound(limit) or 0.0)
    if slot.type in ("number", "money") and isinstance(limit, float) and limit.is_integer():
        return str(int(limit))
    return str(limit)
