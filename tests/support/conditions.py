"""Waits for what sets no event: a process, a file, a count inside a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

PATIENCE = 60.0
"""Seconds. Only a condition that never holds takes so long."""
PAUSE = 0.01
"""Seconds between two looks."""

Result = TypeVar("Result")


async def until(condition: Callable[[], Result | Awaitable[Result]], seconds: float = PATIENCE) -> Result:
    """What the condition gives once that is true; an awaitable is awaited. TimeoutError if it never is."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(PAUSE)
