"""What a scan of a text finds: a value and its position."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from msgspec import Struct

Value_co = TypeVar("Value_co", covariant=True)


class Span(Struct, Generic[Value_co], frozen=True):
    """A value and its position in the text: `text[start:end]`."""

    start: int
    end: int
    value: Value_co


class RelativeUpdate(Struct, frozen=True):
    """By how much a known value changes: "one more person", "half an hour later"."""

    kind: Literal["number", "time", "date"]
    amount: int
    """Minutes for a time, days for a date; negative for less, or earlier."""

    @classmethod
    def from_seconds(cls, seconds: int) -> RelativeUpdate:
        """The update for a duration: whole days change a date, anything else changes a time."""
        days, rest = divmod(seconds, 86_400)
        return cls("time", seconds // 60) if rest else cls("date", days)
