"""How much is allowed, in the notation of the `limits` library: "60/minute; 1000/day", "5/2 seconds"."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import limits
from limits import RateLimitItem
from pydantic import BaseModel, BeforeValidator, ConfigDict, InstanceOf

LARGEST: Final = 1_000_000
"""Of one limit: the moments of so many grants are kept."""


def allowance(value: Any) -> Any:
    """The limits that a text names; none for null. ValueError for text that names none."""
    if value is None:
        return ()
    if not isinstance(value, str):
        return value
    try:
        found = tuple(limits.parse_many(value))
    except ValueError:
        raise ValueError("expected limits such as 60/minute, 5/2 seconds or 60/minute; 1000/day") from None
    if not all(1 <= each.amount <= LARGEST for each in found):
        raise ValueError(f"expected from 1 to {LARGEST} of them; null is no limit")
    return found


Allowance = Annotated[tuple[InstanceOf[RateLimitItem], ...], BeforeValidator(allowance)]
"""Limits that all hold; none where it is null."""


class RateLimiterSettings(BaseModel):
    """The plugin's settings. The defaults stop a loop that has run wild, and no person."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    per: Literal["key", "tenant"] = "key"
    """Who shares an allowance: what comes in with one key, or everything of one tenant."""
    turns: Allowance = "600/minute"  # type: ignore[assignment]  # read by the validator
    """Turns for each of them."""
    session_turns: Allowance = "30/minute"  # type: ignore[assignment]  # the same
    """Turns of one session."""
    generations: Allowance = "1200/minute"  # type: ignore[assignment]  # the same
    """Questions to a model for each of them."""
    tools: Allowance = "1200/minute"  # type: ignore[assignment]  # the same
    """Tool calls for each of them."""
