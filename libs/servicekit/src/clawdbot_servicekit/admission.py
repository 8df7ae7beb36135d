"""Limits how many calls a server handles at a time, and refuses all new ones while it drains.

Calls from within the process are not counted: each belongs to a call that is, and refusing it would lose an
admitted one.
"""

from __future__ import annotations

import asyncio

from clawdbot_servicekit.errors import Overloaded, ShuttingDown


class Admission:
    """The call limit of one server: `enter` before each call, `leave` once after it."""

    def __init__(self, limit: int, retry_after: float = 1.0) -> None:
        """A limiter that admits calls.

        Args:
            limit: maximum number of calls at a time.
            retry_after: seconds that a refused caller is told to wait.
        """
        self.limit = limit
        self._retry_after = retry_after
        self._count = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def count(self) -> int:
        """Calls in flight."""
        return self._count

    @property
    def closed(self) -> bool:
        """Whether the server drains."""
        return self._closed

    def enter(self) -> None:
        """Admits one call.

        Raises:
            ShuttingDown: when closed.
            Overloaded: when `limit` calls are in flight.
        """
        if self._closed:
            raise ShuttingDown
        if self._count >= self.limit:
            raise Overloaded(self.limit, self._retry_after)
        self._count += 1
        if self._count == 1:
            self._idle.clear()

    def leave(self) -> None:
        """Records that a call has ended."""
        self._count -= 1
        if self._count == 0:
            self._idle.set()

    def close(self) -> None:
        """Admits no new calls from now on; those in flight continue."""
        self._closed = True

    async def idle(self) -> None:
        """Returns when no call is in flight."""
        await self._idle.wait()
