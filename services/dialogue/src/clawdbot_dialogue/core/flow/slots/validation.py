"""Values from outside, checked against the slots that a flow declares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from clawdbot_servicekit.errors import FieldViolation

from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotRefused
from clawdbot_dialogue.core.language.language_pack import Locale


class SlotInvalid(ValueError):
    """Values from outside that do not fit a flow's slots."""

    def __init__(self, violations: tuple[FieldViolation, ...]) -> None:
        self.violations = violations
        self.description = " ".join(f"{each.field}: {each.description}" for each in violations)
        super().__init__(self.description)


def validate_slots(
    flow: Flow, values: Mapping[str, object], now: datetime | None = None
) -> dict[str, object]:
    """Values from outside, such as CreateSession's, checked and normalised against what the flow declares.

    Args:
        flow: Declares the slots.
        values: JSON-able; a None leaves its slot empty.
        now: What "today" means in a date's bound; None leaves such bounds out.

    Raises:
        SlotInvalid: with one violation for each value that does not fit.
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
            except SlotRefused as refused:
                violations.append(FieldViolation(_field(slot, refused), refusal(refused, slot, flow.locale)))
    if violations:
        raise SlotInvalid(tuple(violations))
    return checked


def _field(slot: Slot, refused: SlotRefused) -> str:
    """Where a caller finds what does not fit: "slots.address.city", "slots.lines[2].price"."""
    name = (refused.slot or slot).name
    if slot.item and refused.position is not None:
        name = f"{slot.name}[{refused.position}]{name.removeprefix(slot.item.name)}"
    return f"slots.{name}"


def refusal(refused: SlotRefused, slot: Slot, locale: Locale) -> str:
    """Why a value does not fit a slot, in a sentence for a person; about the part of it that is at fault."""
    at_fault = refused.slot or slot
    limit = at_fault.show_limit(refused.limit, locale)
    return locale.wording[refused.purpose].format(name=at_fault.spoken, limit=limit)
