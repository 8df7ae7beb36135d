"""Sums of money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from clawdbot_dialogue.core.flow.slots.plain import NUMBERS, bounded
from clawdbot_dialogue.core.flow.slots.slot import LARGEST_INTEGER, Slot, SlotRefused, SlotType
from clawdbot_dialogue.core.understanding.locale import Locale

_PARTS = frozenset(("amount", "currency"))
_CURRENCY = re.compile(r"[A-Z]{3}")


def _money(slot: Slot, value: object, _: datetime | None) -> object:
    given = value if isinstance(value, Mapping) else {"amount": value}
    amount, currency = given.get("amount"), given.get("currency") or next(iter(slot.currencies), "")
    if not isinstance(amount, int | float) or isinstance(amount, bool) or not abs(amount) < LARGEST_INTEGER:
        raise SlotRefused("not_money")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency) or given.keys() - _PARTS:
        raise SlotRefused("not_money")
    if slot.currencies and currency not in slot.currencies:
        raise SlotRefused("not_currency", ", ".join(slot.currencies))
    # Four digits are more than any currency has, and a float tells them exactly up to billions.
    return {"amount": bounded(slot, round(float(amount), 4)), "currency": currency}


def _show(value: Mapping[str, Any], locale: Locale) -> str:
    return locale.show_amount(value["amount"], value["currency"])


TYPES = (SlotType("money", "dyn", _money, NUMBERS, options=frozenset({"currencies"}), show=_show),)
