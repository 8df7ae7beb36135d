"""Deadlines that end what has begun, on machines of any speed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

SECONDS = (0.1, 1.0, 5.0, 20.0)

Result = TypeVar("Result")


async def expired(attempt: Callable[[float], Awaitable[Result]], reached: Callable[[], object]) -> Result:
    """What the first attempt returned whose deadline was over only after it had reached something.

    A short one may be over earlier on a busy machine; then the next attempt has more time.

    Args:
        attempt: runs until a deadline of so many seconds.
        reached: whether it came so far as it was to come.
    """
    for seconds in SECONDS:
        result = await attempt(seconds)
        if reached():
            return result
    raise AssertionError(f"not reached within {SECONDS[-1]:g} s")
