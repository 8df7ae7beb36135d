"""The serialised messages in one direction of a call, with a limit on how many may wait unread.

It replaces HTTP/2's flow control: a slow reader blocks the writer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

MAX_MESSAGES: Final = 16
"""Few, since both ends share an event loop: it limits how long a writer runs without its reader."""
MAX_BYTES: Final = 65_536
"""A single message may be larger; HTTP/2's initial window."""

Waiters = deque["asyncio.Future[None]"]


class MessageQueue:
    """One direction of a call."""

    __slots__ = ("_free_bytes", "_loop", "_readers", "_writers", "closed", "messages")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.messages: deque[bytes] = deque()
        """Those that wait to be read."""
        self._readers: Waiters = deque()
        self._writers: Waiters = deque()
        self._free_bytes = MAX_BYTES
        self.closed = False
        """Whether no more messages will come."""

    def put(self, message: bytes) -> None:
        """Adds a message, even to a full queue. Does nothing once the queue is closed."""
        if self.closed:
            return
        self.messages.append(message)
        self._free_bytes -= len(message)
        if self._readers:
            _wake(self._readers)

    @property
    def full(self) -> bool:
        """Whether a writer should wait until something is read."""
        return bool(self.messages) and (self._free_bytes <= 0 or len(self.messages) >= MAX_MESSAGES)

    async def writable(self) -> None:
        """Returns when one more message fits, or when the queue is closed."""
        while self.full and not self.closed:
            await self._wait(self._writers)

    async def get(self) -> bytes | None:
        """The next message; None after the last one."""
        while not self.messages:
            if self.closed:
                return None
            await self._wait(self._readers)
        message = self.messages.popleft()
        self._free_bytes += len(message)
        if self._writers:
            _wake(self._writers)
        return message

    def close(self) -> None:
        """Ends the queue; the reader still gets the messages that wait."""
        self.closed = True
        for waiters in (self._readers, self._writers):
            while waiters:
                _wake(waiters)

    def discard(self) -> None:
        """Closes the queue and drops the messages that wait."""
        self.messages.clear()
        self.close()

    async def _wait(self, waiters: Waiters) -> None:
        waiter = self._loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            # Another waiter may have to be woken in its place.
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
