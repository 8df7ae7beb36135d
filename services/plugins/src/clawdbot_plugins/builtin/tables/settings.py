"""The restaurant's settings: its tables, its opening hours, and how long guests stay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _not_true(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a whole number")  # noqa: TRY004 - pydantic's way
    return value


Whole = Annotated[int, BeforeValidator(_not_true)]
"""A whole number; plain int takes true for 1."""

Seats = Annotated[Whole, Field(ge=1, le=100)]


def _local(time: dt.time) -> dt.time:
    if time.tzinfo is not None:
        raise ValueError("expected a time without a time zone, such as 11:00")
    return time


LocalTime = Annotated[dt.time, AfterValidator(_local)]


class TablesSettings(BaseModel):
    """The plugin's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: Annotated[tuple[Seats, ...], Field(min_length=1, max_length=500)] = (2, 2, 2, 4, 4, 4, 6, 8)
    """Seats of each table."""
    opens: LocalTime = dt.time(11)
    """The earliest time for a reservation."""
    closes: LocalTime = dt.time(22)
    """The latest time for a reservation."""
    stay_minutes: Annotated[Whole, Field(ge=15, le=720)] = 120
    """How long a reservation occupies a table."""
    every_minutes: Annotated[Whole, Field(ge=5, le=240)] = 30
    """The interval between proposed times."""
    days_ahead: Annotated[Whole, Field(ge=1, le=3650)] = 366
    """How many days ahead a table can be reserved."""

    @model_validator(mode="after")
    def _in_order(self) -> TablesSettings:
        if self.closes <= self.opens:
            raise ValueError("closes must be later than opens")
        return self

    def proposed_times(self) -> Iterator[dt.time]:
        """Yields the times of a day that are proposed."""
        for minute in range(
            minutes_since_midnight(self.opens), minutes_since_midnight(self.closes) + 1, self.every_minutes
        ):
            yield dt.time(minute // 60, minute % 60)


def minutes_since_midnight(time: dt.time) -> int:
    """Returns the minutes since midnight."""
    return time.hour * 60 + time.minute
