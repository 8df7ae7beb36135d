"""The state of one call between its two ends: messages in both directions, metadata, and the final status.

Both ends behave as over a socket: the client learns the status after the last response, unless the call was
terminated; the server's task is cancelled when the client is gone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import grpc
import grpc.aio

from clawdbot_servicekit.inprocess.message_queue import MessageQueue
from clawdbot_servicekit.inprocess.metadata import Metadata

CANCELLED_LOCALLY: Final = "Locally cancelled by application!"
"""gRPC's own text, as the two below."""
DEADLINE_EXCEEDED: Final = "Deadline Exceeded"
TOO_LARGE: Final = "{}: {} message larger than max ({} vs. {})"


class Status(NamedTuple):
    """How a call has ended."""

    code: grpc.StatusCode
    details: str = ""
    trailing: Metadata = ()


class Rpc:
    """The state of one call."""

    __slots__ = (
        *("_callbacks", "_initial_waiters", "_loop", "_max_message", "_status_waiters", "_timer"),
        *("cancelled_locally", "deadline", "initial", "metadata", "requests", "responses"),
        *("server_status", "status", "task", "unary_response"),
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, metadata: Metadata, timeout: float | None, max_message: int
    ) -> None:
        """A call that starts now.

        Args:
            loop: the event loop of both ends.
            metadata: what the client sends.
            timeout: seconds; None for no deadline.
            max_message: maximum size of a message in bytes; -1 for no limit.
        """
        self._loop = loop
        self._max_message = max_message if max_message >= 0 else sys.maxsize
        self.metadata = metadata
        self.requests = MessageQueue(loop)
        self.responses = MessageQueue(loop)
        self.initial: Metadata | None = None
        """The server's initial metadata, once it has sent them."""
        self.status: Status | None = None
        """How the call has ended for the client."""
        self.unary_response = False
        """Whether the client takes the one response together with the status."""
        self.cancelled_locally = False
        """Whether the client has cancelled it."""
        self.task: asyncio.Task[None] | None = None
        """The task that runs the servicer."""
        self.deadline: float | None = None
        """In the loop's time."""
        self.server_status: Status | None = None
        """How it has ended for the server, which the client learns after the last response."""
        self._timer: asyncio.TimerHandle | None = None
        self._status_waiters: list[asyncio.Future[None]] = []
        self._initial_waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[], object]] = []
        if timeout is not None:
            self.deadline = loop.time() + timeout
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            self._timer = loop.call_at(self.deadline, self.terminate, code, DEADLINE_EXCEEDED)

    # Either side

    def remaining(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - self._loop.time())

    def terminate(self, code: grpc.StatusCode, details: str) -> bool:
        """Ends the call at once, for both sides; False if it has ended already."""
        if self.status is not None:
            return False
        self.responses.discard()
        self.requests.discard()
        self._end(Status(code, details))
        if self.server_status is None and self.task is not None:
            self.task.cancel()
        return True

    # The client's side

    def send_request(self, message: bytes) -> None:
        """Sends a request, even if the queue is full."""
        if len(message) > self._max_message:
            self._refuse("SERVER", message)
        self.requests.put(message)

    async def receive_response(self) -> bytes | None:
        """The next response; None after the last one. A client that stops waiting for it cancels the call."""
        try:
            message = await self.responses.get()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self.server_status is not None and self.status is None and not self.responses.messages:
            self._end(self.server_status)
        return message

    def cancel(self, details: str = CANCELLED_LOCALLY) -> bool:
        """The client cancels the call; False if it has ended already."""
        if self.status is None:
            self.cancelled_locally = True
        return self.terminate(grpc.StatusCode.CANCELLED, details)

    async def wait_status(self) -> Status:
        """The status, once it has arrived."""
        while self.status is None:
            await self._wait(self._status_waiters)
        return self.status

    async def wait_initial_metadata(self) -> Metadata:
        """The server's initial metadata, once they have arrived; empty if the call ends without."""
        while self.initial is None:
            await self._wait(self._initial_waiters)
        return self.initial

    def add_done_callback(self, callback: Callable[[], object]) -> None:
        """Calls something once the client knows the status; at once if it does already."""
        if self.status is None:
            self._callbacks.append(callback)
        else:
            callback()

    # The server's side

    def send_initial_metadata(self, metadata: Metadata = ()) -> None:
        """Sends initial metadata, unless some have been sent."""
        if self.initial is None:
            self.initial = metadata
            _wake(self._initial_waiters)

    async def send_response(self, message: bytes) -> None:
        """Sends one of several responses, once it fits into the queue.

        Raises:
            grpc.aio.InternalError: if the client is gone, or the message is too large.
        """
        if self.initial is None:
            self.send_initial_metadata()
        if self.responses.full:
            await self.responses.writable()
        if len(message) > self._max_message:
            self._refuse("CLIENT", message)
        if self.status is not None:
            raise grpc.aio.InternalError("the call has ended")
        self.responses.put(message)

    def finish(self, status: Status, message: bytes | None = None) -> None:
        """Sends the status, and before it the response of a call that has only one."""
        if self.server_status is not None:
            return
        self.server_status = status
        self.send_initial_metadata()
        if message is not None:
            if len(message) > self._max_message:
                self._refuse("CLIENT", message)
            self.responses.put(message)
        self.responses.close()
        self.requests.discard()
        if (not self.responses.messages or self.unary_response) and self.status is None:
            self._end(status)

    def _refuse(self, receiver: str, message: bytes) -> None:
        details = TOO_LARGE.format(receiver, "Received", len(message), self._max_message)
        self.terminate(grpc.StatusCode.RESOURCE_EXHAUSTED, details)

    def _end(self, status: Status) -> None:
        self.status = status
        if self._timer is not None:
            self._timer.cancel()
        self.send_initial_metadata()
        _wake(self._status_waiters)
        callbacks, self._callbacks = self._callbacks, []
        for each in callbacks:
            each()

    async def _wait(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter = self._loop.create_future()
        waiters.append(waiter)
        await waiter


def unchanged(message: Any) -> Any:
    """In place of a serialiser, for methods without one: their messages are bytes."""
    return message


def _wake(waiters: list[asyncio.Future[Any]]) -> None:
    for each in waiters:
        if not each.done():
            each.set_result(None)
    waiters.clear()
