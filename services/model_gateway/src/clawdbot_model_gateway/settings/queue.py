"""The section `queue` of a backend: how many requests it takes at a time, and how others wait."""

from __future__ import annotations

from typing import Annotated

from clawdbot_servicekit.settings import Number, Seconds, Section, Whole
from pydantic import Field, model_validator


class AdaptiveConcurrency(Section):
    """Bounds between which the gateway finds out how many requests a backend takes at a time."""

    min: Annotated[Whole, Field(ge=1, le=65_536)] = 1
    max: Annotated[Whole, Field(ge=1, le=65_536)]

    @model_validator(mode="after")
    def _check_order(self) -> AdaptiveConcurrency:
        if self.min > self.max:
            raise ValueError(f"min is {self.min} and max is {self.max}; min must not be above max")
        return self


class ClassShares(Section):
    """What each priority class gets of a backend while several of them wait."""

    interactive: Annotated[Number, Field(ge=0, le=1)] = 0.6
    standard: Annotated[Number, Field(ge=0, le=1)] = 0.3
    batch: Annotated[Number, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _check_sum(self) -> ClassShares:
        total = self.interactive + self.standard + self.batch
        if total > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}; at most 1 is allowed")
        return self


class QueueSettings(Section):
    """How requests wait for a backend that is busy."""

    size: Annotated[Whole, Field(ge=0, le=1_000_000)] = 1000
    """Requests that wait at a time; 0: none does."""
    timeout: Annotated[Seconds, Field(gt=0)] = 300.0
    """How long a request waits at most; the call's deadline may end the wait earlier."""
    shares: ClassShares = ClassShares()
    concurrency: Annotated[Whole, Field(ge=1, le=65_536)] | AdaptiveConcurrency | None = None
    """Requests that are sent at the same time, by all workers together; omitted: http.pool_size, by each."""
