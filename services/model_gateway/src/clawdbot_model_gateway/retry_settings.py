"""Second tries: the sections `retry` and `hedge` of a backend."""

from __future__ import annotations

from typing import Annotated

from clawdbot_servicekit.settings import Number, Seconds, Section, Whole
from pydantic import Field, model_validator


class RetrySettings(Section):
    """Retries on the same backend, once no other target of the alias is left."""

    attempts: Annotated[Whole, Field(ge=0, le=100)] = 0
    """Retries of one request; 0: none."""
    base: Annotated[Seconds, Field(gt=0)] = 0.5
    """The longest wait before the first retry; it doubles with each one. The wait is drawn at random."""
    max: Annotated[Seconds, Field(gt=0)] = 8.0
    """The longest wait. What the backend asks for (Retry-After) is waited in addition."""
    budget: Annotated[Number, Field(ge=0, le=1)] = 0.1
    """Retries of all requests together, as a share of the requests; one in ten seconds is always allowed."""

    @model_validator(mode="after")
    def _check_order(self) -> RetrySettings:
        if self.base > self.max:
            raise ValueError(f"base is {self.base:g} and max is {self.max:g}; base must not be above max")
        return self


class HedgeSettings(Section):
    """Another target of the alias, asked as well when this backend takes long to begin."""

    after: Annotated[Seconds, Field(gt=0)] | None = None
    """Time without content; omitted: as long as 95 of 100 recent requests took."""
    budget: Annotated[Number, Field(ge=0, le=1)] = 0.05
    """Hedges of all requests together, as a share of the requests; one in ten seconds is always allowed."""
