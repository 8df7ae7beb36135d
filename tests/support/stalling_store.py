"""A session store that stalls where a test wants it: puts a crash before or after any write."""

from __future__ import annotations

import asyncio
from typing import Any


class StallingStore:
    """Passes every call on, and stalls at the one that `stall` names."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._stalls_at: tuple[str, int, bool] | None = None
        self.stalled = asyncio.Event()
        """Set once the call is reached; it never returns."""
        self.counted: dict[str, int] = {}
        """How often each method was called since `stall`."""

    def stall(self, method: str, call: int = 1, *, done: bool) -> None:
        """Stalls the n-th call of a method from now on, before it does anything or after it has done all."""
        self._stalls_at = (method, call, done)
        self.counted = {}
        self.stalled = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def counted_method(*args: Any, **options: Any) -> Any:
            self.counted[name] = self.counted.get(name, 0) + 1
            stalls = self._stalls_at is not None and self._stalls_at[:2] == (name, self.counted[name])
            if stalls and self._stalls_at is not None and not self._stalls_at[2]:
                await self._hang()
            result = await method(*args, **options)
            if stalls:
                await self._hang()
            return result

        return counted_method

    async def _hang(self) -> None:
        self.stalled.set()
        await asyncio.get_running_loop().create_future()
