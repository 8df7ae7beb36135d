"""What happens when a backend fails: its sections `breaker`, `retry` and `hedge`."""

from __future__ import annotations

from typing import Annotated

from clawdbot_servicekit.settings import Number, Seconds, Section, Whole
from pydantic import Field, model_validator


class BreakerSettings(Section):
    """The circuit breaker of a backend."""

    enabled: bool = True
    failures: Annotated[Whole, Field(ge=1, le=1_000_000)] = 5
    """Failures in a row that open it."""
    failure_share: Annotated[Number, Field(gt=0, le=1)] = 0.5
    """Share of failures in a window that opens it."""
    min_calls: Annotated[Whole, Field(ge=1, le=1_000_000)] = 20
    """Calls in a window that are necessary to judge by their share."""
    window: Annotated[Seconds, Field(gt=0)] = 30.0
    cooldown: Annotated[Seconds, Field(gt=0)] = 2.0
    """Until one request tries again; twice as long after each that fails."""
    max_cooldown: Annotated[Seconds, Field(gt=0)] = 60.0

    @model_validator(mode="after")
    def _check_order(self) -> BreakerSettings:
        if self.cooldown > self.max_cooldown:
            raise ValueError(
                f"cooldown is {self.cooldown:g} s and max_cooldown is {self.max_cooldown:g} s; "
                "cooldown must not be above max_cooldown"
            )
        return self


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
            raise ValueError(f"base is {self.base:g} s and max is {self.max:g} s; base must not be above max")
        return self


class HedgeSettings(Section):
    """Another target of the alias, asked as well when this backend takes long to begin."""

    after: Annotated[Seconds, Field(gt=0)] | None = None
    """Time without content; omitted: as long as 95 of 100 recent requests took."""
    budget: Annotated[Number, Field(ge=0, le=1)] = 0.05
    """Hedges of all requests together, as a share of the requests; one in ten seconds is always allowed."""
