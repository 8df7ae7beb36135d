"""When a vendor says to come back: `retry-after-ms`, and the forms of Retry-After (RFC 9110, 10.2.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 86_400.0
"""Seconds. What is longer is told as a day: a caller that waits longer does something else meanwhile."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, 0 for at once; None where the vendor does not say, or nothing that can be read.

    Args:
        headers: of the answer, looked up by lower-case name.
        now: seconds since 1970, for the form that is a date.
    """
    exact = _number(headers.get("retry-after-ms", ""))
    if exact is not None:
        return min(exact / 1000, LONGEST)
    text = headers.get("retry-after", "")
    found = _number(text)
    if found is None:
        found = _until(text, now)
    return None if found is None else min(found, LONGEST)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else max(0.0, number)


def _until(text: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None
