"""Sums of money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from clawdbot_dialogue.core.flow.cel.types import Structure
from clawdbot_dialogue.core.flow.slots.scalars import NUMBERS, check_bounds
from clawdbot_dialogue.core.flow.slots.slot import MAX_INTEGER, Slot, SlotType, SlotValueError
from clawdbot_dialogue.core.language.currencies import fraction_digits
from clawdbot_dialogue.core.language.language_pack import LanguagePack

_PARTS = frozenset(("amount", "currency"))
_DECIMAL = re.compile(r"-?\d{1,16}(?:\.\d{1,8})?", re.ASCII)


def _money(slot: Slot, value: object, _: datetime | None) -> object:
    given = value if isinstance(value, Mapping) else {"amount": value}
    amount, currency = _amount(given.get("amount")), given.get("currency") or next(iter(slot.currencies), "")
    if not isinstance(currency, str) or currency not in fraction_digits() or given.keys() - _PARTS:
        raise SlotValueError("not_money")
    if slot.currencies and currency not in slot.currencies:
        raise SlotValueError("not_currency", ", ".join(slot.currencies))
    minor_unit = Decimal(1).scaleb(-fraction_digits()[currency])
    rounded = float(amount.quantize(minor_unit, ROUND_HALF_UP)) or 0.0  # never -0.0
    return {"amount": check_bounds(slot, rounded), "currency": currency}


def _amount(given: object) -> Decimal:
    """The amount of a number, or of text such as "30.50", which callers send to avoid binary fractions."""
    if isinstance(given, str) and _DECIMAL.fullmatch(given):
        amount = Decimal(given)
    elif isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < MAX_INTEGER:
        # By its shortest digits: 2.675 is what was meant, not 2.67499999…
        amount = Decimal(str(given))
    else:
        raise SlotValueError("not_money")
    if abs(amount) >= MAX_INTEGER:
        raise SlotValueError("not_money")
    return amount


def _format(_: Slot, value: Mapping[str, Any], locale: LanguagePack) -> str:
    return locale.format_money(value["amount"], value["currency"])


_MONEY = Structure({"amount": "double", "currency": "string"}, "a sum of money")
TYPES: tuple[SlotType, ...] = (
    SlotType(
        "money",
        _MONEY,
        _money,
        NUMBERS,
        options=frozenset({"currencies"}),
        format=_format,
        allows_duplicates=True,
    ),
)
