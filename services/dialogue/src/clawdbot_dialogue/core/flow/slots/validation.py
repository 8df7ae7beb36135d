"""Checks values from callers against the slots that a flow declares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from clawdbot_servicekit.errors import FieldViolation

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotValueError
from clawdbot_dialogue.core.language.language_pack import LanguagePack


class SlotValidationError(ValueError):
    """Values from a caller that a flow's slots do not accept."""

    def __init__(self, violations: tuple[FieldViolation, ...]) -> None:
        self.violations = violations
        self.description = " ".join(f"{each.field}: {each.description}" for each in violations)
        super().__init__(self.description)


def validate_slots(
    flow: Flow, values: Mapping[str, object], now: datetime | None = None
) -> dict[str, object]:
    """Values from a caller, such as those of CreateSession, checked and normalised.

    Args:
        flow: Declares the slots.
        values: JSON-able; None leaves its slot empty.
        now: The time that "today" in a bound refers to; None skips such bounds.

    Raises:
        SlotValidationError: with one violation for each value that is not accepted.
    """
    checked: dict[str, object] = {}
    violations: list[FieldViolation] = []
    for name, value in values.items():
        slot = flow.slots.get(name)
        if slot is None:
            violations.append(FieldViolation(f"slots.{name}", f"The flow {flow.name} has no slot {name}."))
        elif value is not None:
            try:
                checked[name] = slot.check(value, now)
            except SlotValueError as error:
                violations.append(
                    FieldViolation(_field(slot, error), describe_error(error, slot, flow.locale))
                )
    if violations:
        raise SlotValidationError(tuple(violations))
    return checked


def _field(slot: Slot, error: SlotValueError) -> str:
    """The path of the invalid value for a caller: "slots.address.city", "slots.lines[2].price"."""
    name = (error.slot or slot).name
    if slot.item and error.position is not None:
        name = f"{slot.name}[{error.position}]{name.removeprefix(slot.item.name)}"
    return f"slots.{name}"


def describe_error(error: SlotValueError, slot: Slot, locale: LanguagePack) -> str:
    """Why a slot, or a part of it, does not accept a value: a sentence for a person."""
    invalid = error.slot or slot
    limit = invalid.format_limit(error.limit, locale)
    return locale.messages[error.reason].format(name=invalid.display_name, limit=limit)
