"""Rate limits in the notation of the `limits` library: "60/minute; 1000/day", "5/2 seconds"."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import limits
from limits import RateLimitItem
from pydantic import BaseModel, BeforeValidator, ConfigDict, InstanceOf

MAX_LIMIT: Final = 1_000_000
"""Of one limit: it is also the number of grants that are stored for it."""

MAX_PERIOD: Final = 366 * 86_400
"""Seconds in which a limit applies."""


def parse_limits(value: Any) -> Any:
    """Parses a text of limits; None means no limit. ValueError if the text is invalid."""
    if value is None:
        return ()
    if not isinstance(value, str):
        return value
    try:
        items = tuple(limits.parse_many(value))
    except ValueError:
        raise ValueError("expected limits such as 60/minute, 5/2 seconds or 60/minute; 1000/day") from None
    if not all(1 <= each.amount <= MAX_LIMIT for each in items):
        raise ValueError(f"expected limits from 1 to {MAX_LIMIT}; null means no limit")
    if any(each.get_expiry() > MAX_PERIOD for each in items):
        raise ValueError("expected limits for periods of at most one year")
    return items


Limits = Annotated[tuple[InstanceOf[RateLimitItem], ...], BeforeValidator(parse_limits)]
"""Limits that all apply; empty if the setting is null."""


class RateLimiterSettings(BaseModel):
    """The plugin's settings. The defaults stop a runaway loop, but not a person."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    per: Literal["key", "tenant"] = "key"
    """Who shares a limit: the calls of one API key, or all calls of one tenant."""
    turns: Limits = "600/minute"  # type: ignore[assignment]  # parsed by the validator
    """Turns for each key or tenant."""
    session_turns: Limits = "30/minute"  # type: ignore[assignment]  # the same
    """Turns of one session."""
    generations: Limits = "1200/minute"  # type: ignore[assignment]  # the same
    """Model calls for each key or tenant."""
    tools: Limits = "1200/minute"  # type: ignore[assignment]  # the same
    """Tool calls for each key or tenant."""
