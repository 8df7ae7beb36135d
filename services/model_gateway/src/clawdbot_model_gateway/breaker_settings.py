"""The section `breaker` of a backend: when the gateway stops asking it, and when it tries again."""

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
