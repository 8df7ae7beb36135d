"""Serialised messages on their way in one direction, as many as may wait unread.

It stands where HTTP/2's flow control does: a slow reader stalls the writer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

MESSAGES: Final = 16
"""Messages that may wait. Few, since both ends share a loop: it bounds how long a writer runs by itself."""
BYTES: Final = 65_536
"""Bytes that may wait, unless it is one message; HTTP/2's initial window."""

Waiters = deque["asyncio.Future[None]"]


class Pipe:
    """One direction of a call. Ended: nothing more comes. Broken: what was on its way is gone."""

    __slots__ = ("_loop", "_messages", "_readers", "_room", "_writers", "ended")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: deque[bytes] = deque()
        self._readers: Waiters = deque()
        self._writers: Waiters = deque()
        self._room = BYTES
        self.ended = False
        """Whether nothing more comes."""

    @property
    def empty(self) -> bool:
        """Whether no message waits."""
        return not self._messages

    def push(self, message: bytes) -> None:
        """Sends a message, even through a full pipe. Nothing comes of it once the pipe has ended."""
        if self.ended:
            return
        self._messages.append(message)
        self._room -= len(message)
        _wake(self._readers)

    async def writable(self) -> None:
        """Returns when one more message may be sent, or none at all."""
        while not self.ended and self._messages and (self._room <= 0 or len(self._messages) >= MESSAGES):
            await self._wait(self._writers)

    async def pop(self) -> bytes | None:
        """The next message; None after the last one."""
        while not self._messages:
            if self.ended:
                return None
            await self._wait(self._readers)
        message = self._messages.popleft()
        self._room += len(message)
        if self._writers:
            _wake(self._writers)
        return message

    def end(self) -> None:
        """Lets the reader have what is on its way, and nothing more."""
        self.ended = True
        _wake_all(self._readers)
        _wake_all(self._writers)

    def tear(self) -> None:
        """Ends it, and drops what is on its way."""
        self._messages.clear()
        self.end()

    async def _wait(self, waiters: Waiters) -> None:
        waiter = self._loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            # Somebody else may have been meant to go on in its place.
            if waiter.done() and not waiter.cancelled():
                _wake(waiters)
            elif waiter in waiters:
                waiters.remove(waiter)
            raise


def _wake(waiters: Waiters) -> None:
    while waiters:
        waiter = waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return


def _wake_all(waiters: Waiters) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
