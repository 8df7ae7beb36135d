"""Reads vendors' JSON, in which any value may be missing or of another type."""

from __future__ import annotations

from typing import Any, Final

MAX_COUNT: Final = 2**53
"""Tokens. A larger number is not a count."""


def as_string(value: Any) -> str:
    """The value; empty if it is not a string."""
    return value if isinstance(value, str) else ""


def count_in(counts: Any, name: str) -> int:
    """The field of this name; 0 if there are no counts, or it is not a count."""
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and 0 <= value < MAX_COUNT else 0
