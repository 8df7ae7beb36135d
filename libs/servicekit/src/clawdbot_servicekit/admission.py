"""How many calls a server works on at once, and whether it takes any more.

Calls from inside the process are not counted: they belong to a call that is, and refusing them would lose
one that was let in.
"""

from __future__ import annotations

import asyncio

from clawdbot_servicekit.errors import Overloaded, ShuttingDown


class Admission:
    """The door of one server: `enter` before each call, `leave` once after it."""

    def __init__(self, limit: int, retry_after: float = 1.0) -> None:
        """An open door.

        Args:
            limit: calls at once.
            retry_after: seconds that a refused caller is asked to wait.
        """
        self.limit = limit
        self._retry_after = retry_after
        self._count = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def count(self) -> int:
        """Calls inside."""
        return self._count

    @property
    def closed(self) -> bool:
        """Whether the server drains."""
        return self._closed

    def enter(self) -> None:
        """Lets one call in.

        Raises:
            ShuttingDown: when closed.
            Overloaded: when `limit` calls are inside.
        """
        if self._closed:
            raise ShuttingDown
        if self._count >= self.limit:
            raise Overloaded(self.limit, self._retry_after)
        self._count += 1
        if self._count == 1:
            self._idle.clear()

    def leave(self) -> None:
        """The call has ended."""
        self._count -= 1
        if self._count == 0:
            self._idle.set()

    def close(self) -> None:
        """Takes no new call from now on; those inside go on."""
        self._closed = True

    async def idle(self) -> None:
        """Returns when no call is inside."""
        await self._idle.wait()
