"""What a look through a text finds: values, and where they stand."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

Value_co = TypeVar("Value_co", covariant=True)


class Found(Struct, Generic[Value_co], frozen=True):
    """A value and where in the text it stands."""

    start: int
    end: int
    value: Value_co
