"""One call between its two ends: messages either way, metadata, and the status that ends it.

Both ends see what they would see over a socket: the client learns the status after the last reply, unless the
call was cut; the server's task is cancelled when the client is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import grpc
import grpc.aio

from clawdbot_servicekit.inprocess.metadata import Metadata
from clawdbot_servicekit.inprocess.pipe import Pipe

CANCELLED_HERE: Final = "Locally cancelled by application!"
"""As gRPC says it, here and below."""
EXPIRED: Final = "Deadline Exceeded"
TOO_LARGE: Final = "{}: {} message larger than max ({} vs. {})"


class Status(NamedTuple):
    """How a call has ended."""

    code: grpc.StatusCode
    details: str = ""
    trailing: Metadata = ()


class Rpc:
    """The state of one call."""

    __slots__ = (
        *("_answer", "_callbacks", "_limit", "_loop", "_timer", "_waiting", "_waiting_initial"),
        *("cancelled_here", "deadline", "initial", "metadata", "replies", "requests", "single"),
        *("status", "task"),
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, metadata: Metadata, timeout: float | None, limit: int
    ) -> None:
        """A call that begins now.

        Args:
            loop: both ends' loop.
            metadata: what the client sends along.
            timeout: seconds; None for no deadline.
            limit: largest message in bytes; -1 for none.
        """
        self._loop = loop
        self._limit = limit
        self.metadata = metadata
        self.requests = Pipe(loop)
        self.replies = Pipe(loop)
        self.initial: Metadata | None = None
        """The server's initial metadata, once it has sent them."""
        self.status: Status | None = None
        """How the call has ended for the client."""
        self.single = False
        """Whether the client takes one reply and the status in one."""
        self.cancelled_here = False
        """Whether the client has cancelled it."""
        self.task: asyncio.Task[None] | None = None
        """Where the servicer works."""
        self.deadline: float | None = None
        """In the loop's time."""
        self._answer: Status | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._waiting_initial: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[], object]] = []
        if timeout is not None:
            self.deadline = loop.time() + timeout
            self._timer = loop.call_at(self.deadline, self.cut, grpc.StatusCode.DEADLINE_EXCEEDED, EXPIRED)

    # Either side

    def remaining(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - self._loop.time())

    def cut(self, code: grpc.StatusCode, details: str) -> bool:
        """Ends the call at once, for both sides; False when it has ended already."""
        if self.status is not None:
            return False
        self.replies.tear()
        self._end(Status(code, details))
        if self._answer is None and self.task is not None:
            self.task.cancel()
        return True

    # The client's side

    def request(self, message: bytes) -> None:
        """Sends a request, whether or not one may wait."""
        if 0 <= self._limit < len(message):
            details = TOO_LARGE.format("SERVER", "Received", len(message), self._limit)
            self.cut(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
        self.requests.push(message)

    async def receive(self) -> bytes | None:
        """The next reply; None after the last one."""
        message = await self.replies.pop()
        if self._answer is not None and self.replies.empty and self.status is None:
            self._end(self._answer)
        return message

    def cancel(self, details: str = CANCELLED_HERE) -> bool:
        """The client gives up; False when the call has ended already."""
        if self.status is None:
            self.cancelled_here = True
        return self.cut(grpc.StatusCode.CANCELLED, details)

    async def ended(self) -> Status:
        """The status, when it has come."""
        while self.status is None:
            await self._wait(self._waiting)
        return self.status

    async def opened(self) -> Metadata:
        """The server's initial metadata, when they have come; empty when the call ends without."""
        while self.initial is None:
            await self._wait(self._waiting_initial)
        return self.initial

    def on_end(self, callback: Callable[[], object]) -> None:
        """Has something called when the client knows the status; at once when it does."""
        if self.status is None:
            self._callbacks.append(callback)
        else:
            callback()

    # The server's side

    @property
    def answered(self) -> bool:
        """Whether the server has sent its status."""
        return self._answer is not None

    def open(self, metadata: Metadata = ()) -> None:
        """Sends initial metadata, unless some have been sent."""
        if self.initial is None:
            self.initial = metadata
            _wake(self._waiting_initial)

    async def reply(self, message: bytes) -> None:
        """Sends one of several replies, when one more may wait.

        Raises:
            grpc.aio.InternalError: when the client is gone, or the message too large.
        """
        self.open()
        await self.replies.writable()
        self._fitting(message)
        if self.status is not None:
            raise grpc.aio.InternalError("the call has ended")
        self.replies.push(message)

    def answer(self, status: Status, message: bytes | None = None) -> None:
        """Sends the status, and before it the reply of a call that has only one."""
        if self._answer is not None:
            return
        self._answer = status
        self.open()
        if message is not None:
            self._fitting(message)
            self.replies.push(message)
        self.replies.end()
        self.requests.tear()
        if (self.replies.empty or self.single) and self.status is None:
            self._end(status)

    def _fitting(self, message: bytes) -> None:
        if 0 <= self._limit < len(message):
            details = TOO_LARGE.format("CLIENT", "Received", len(message), self._limit)
            self.cut(grpc.StatusCode.RESOURCE_EXHAUSTED, details)

    def _end(self, status: Status) -> None:
        self.status = status
        if self._timer is not None:
            self._timer.cancel()
        self.requests.tear()
        self.open()
        _wake(self._waiting)
        callbacks, self._callbacks = self._callbacks, []
        for each in callbacks:
            each()

    async def _wait(self, waiting: list[asyncio.Future[None]]) -> None:
        waiter = self._loop.create_future()
        waiting.append(waiter)
        await waiter


def _wake(waiting: list[asyncio.Future[Any]]) -> None:
    for each in waiting:
        if not each.done():
            each.set_result(None)
    waiting.clear()
