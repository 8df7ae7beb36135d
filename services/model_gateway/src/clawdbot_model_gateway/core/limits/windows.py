"""Windows of the calendar, in UTC: a limit per day begins anew at midnight."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86_400}
MONTH: Final = "month"
WINDOWS: Final = (*SECONDS, MONTH)


@dataclass(frozen=True, slots=True)
class Rate:
    """How much is allowed in a window."""

    amount: int
    window: str
    """One of WINDOWS."""

    def bounds(self, now: float) -> tuple[int, int]:
        """When the present window began, and when it ends; seconds since 1970."""
        seconds = SECONDS.get(self.window)
        if seconds is not None:
            start = int(now // seconds) * seconds
            return start, start + seconds
        year, month, *_ = time.gmtime(now)
        following = (year + 1, 1) if month == 12 else (year, month + 1)
        return calendar.timegm((year, month, 1, 0, 0, 0)), calendar.timegm((*following, 1, 0, 0, 0))


def parse_rates(text: object, unit: int, maximum: int) -> tuple[Rate, ...]:
    """Rates such as "60/minute; 1000/day".

    Args:
        text: what the configuration has; () is the default.
        unit: what an amount of 1 counts as; parts of it are allowed.
        maximum: the largest amount.

    Raises:
        ValueError: for anything else.
    """
    if text == ():
        return ()
    if not isinstance(text, str):
        number = isinstance(text, int | float) and not isinstance(text, bool)
        raise ValueError(_expected(f"{text}/day" if number else "60/minute"))  # noqa: TRY004 - pydantic takes no TypeError
    rates = tuple(_parse_rate(each, unit, maximum) for each in text.split(";"))
    windows = [each.window for each in rates]
    if len(set(windows)) < len(windows):
        raise ValueError("expected one limit for each window")
    return rates


def _parse_rate(text: str, unit: int, maximum: int) -> Rate:
    amount, _, window = (part.strip() for part in text.partition("/"))
    expected = _expected("60/minute")
    if window not in WINDOWS or len(amount) > 32:
        raise ValueError(expected)
    try:
        number = Decimal(amount)
    except InvalidOperation:
        raise ValueError(expected) from None
    if not number.is_finite() or not 0 <= number <= maximum:
        raise ValueError(f"expected limits from 0 to {maximum}")
    if unit == 1 and not number:
        raise ValueError("0 allows no call at all: say `concurrent: 0` to refuse all calls")
    counted = number * unit
    if counted != counted.to_integral_value():
        raise ValueError("expected whole numbers" if unit == 1 else "expected at most six decimals")
    return Rate(int(counted), window)


def _expected(example: str) -> str:
    return f"expected limits such as {example} or 60/minute; 1000/day, per {', '.join(WINDOWS)}"
