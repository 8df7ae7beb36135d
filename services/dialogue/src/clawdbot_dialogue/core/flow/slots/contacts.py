"""E-mail addresses and phone numbers.

Each library is imported at its first use: the imports take 12 and 25 ms, and most flows need neither.
"""

from __future__ import annotations

from datetime import datetime

from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotType, SlotValueError

_MAX_LENGTH = 320
"""Characters of an address or number that is parsed; RFC 5321 allows 64 + 1 + 255."""


def _email(_: Slot, value: object, __: datetime | None) -> object:
    if len(str(value)) > _MAX_LENGTH:
        raise SlotValueError("not_email")
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(str(value), check_deliverability=False).normalized
    except EmailNotValidError:
        raise SlotValueError("not_email") from None


def _phone(slot: Slot, value: object, __: datetime | None) -> object:
    if len(str(value)) > _MAX_LENGTH:
        raise SlotValueError("not_phone")
    import phonenumbers

    try:
        number = phonenumbers.parse(str(value), slot.region or None)
    except phonenumbers.NumberParseException:
        raise SlotValueError("not_phone") from None
    if not phonenumbers.is_valid_number(number):
        raise SlotValueError("not_phone")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


TYPES: tuple[SlotType, ...] = (
    SlotType("email", "string", _email),
    SlotType("phone", "string", _phone, options=frozenset({"region"})),
)
