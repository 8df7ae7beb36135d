"""Waits for what sets no event: a process, a file, a count inside a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

PATIENCE = 30.0
"""Seconds. Only a condition that never holds takes so long."""
PAUSE = 0.01
"""Seconds between two looks."""


async def until(condition: Callable[[], object | Awaitable[object]], seconds: float = PATIENCE) -> bool:
    """True once the condition holds; an awaitable one is awaited. Raises TimeoutError where it never does."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if isawaitable(holds):
                holds = await holds
            if holds:
                return True
            await asyncio.sleep(PAUSE)
