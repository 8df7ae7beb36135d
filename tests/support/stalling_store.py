"""A session store that stops at a chosen place: a crash can be put before or after every write."""

from __future__ import annotations

import asyncio
from typing import Any


class StallingStore:
    """Passes everything on, until it comes to where it was told to stall."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._place: tuple[str, int, bool] | None = None
        self.stalled = asyncio.Event()
        """Set when the place is reached: from then on nothing returns from it."""
        self.counted: dict[str, int] = {}
        """How often each method was called since `stall`."""

    def stall(self, method: str, call: int = 1, *, done: bool) -> None:
        """Stalls the n-th call of a method from now on, before it does anything or after it has done all."""
        self._place = (method, call, done)
        self.counted = {}
        self.stalled = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def passed(*args: Any, **options: Any) -> Any:
            self.counted[name] = self.counted.get(name, 0) + 1
            here = self._place is not None and self._place[:2] == (name, self.counted[name])
            if here and self._place is not None and not self._place[2]:
                await self._hang()
            result = await found(*args, **options)
            if here:
                await self._hang()
            return result

        return passed

    async def _hang(self) -> None:
        self.stalled.set()
        await asyncio.get_running_loop().create_future()
