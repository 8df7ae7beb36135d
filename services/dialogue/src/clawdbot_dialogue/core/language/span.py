"""What a look through a text finds: values, and where they stand."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from msgspec import Struct

Value_co = TypeVar("Value_co", covariant=True)


class Found(Struct, Generic[Value_co], frozen=True):
    """A value and where in the text it stands."""

    start: int
    end: int
    value: Value_co


class Shift(Struct, frozen=True):
    """By how much a known value is moved."""

    kind: Literal["number", "time", "date"]
    amount: int
    """Of a time minutes, of a date days."""

    @classmethod
    def by(cls, seconds: int) -> Shift:
        """A length of time: of whole days it moves a date, of any other a time."""
        days, rest = divmod(seconds, 86_400)
        return cls("time", seconds // 60) if rest else cls("date", days)
