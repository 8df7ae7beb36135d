"""A turn that runs or waits in this process: its events so far, and what its subscribers wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse

from clawdbot_dialogue.core.errors import TurnMoved
from clawdbot_dialogue.core.sessions.records import StopMode, TurnResult


class CancelScope:
    """A block of code that can be ended from outside: enter it with `with`, end it with one of its methods.

    The block then ends early without an exception. Do not enter it if `cancel_called` is True already. A
    cancellation of the task itself passes through.
    """

    def __init__(self) -> None:
        self.stop_mode = StopMode.NONE
        self.lease_lost = False
        """True if the lease is lost: nothing may be written any more."""
        self.timed_out = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._cancel_sent = False

    def stop(self, mode: StopMode) -> None:
        """Ends the block. A later, weaker mode does not replace a rollback."""
        self.stop_mode = max(self.stop_mode, mode)
        self._cancel()

    def time_out(self) -> None:
        """Ends the block because it has taken too long."""
        self.timed_out = True
        self._cancel()

    def lose_lease(self) -> None:
        """Ends the block because another process holds the session's lease."""
        self.lease_lost = True
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None and not self._cancel_sent:
            self._cancel_sent = True
            self._task.cancel()

    @property
    def cancel_called(self) -> bool:
        """Whether the block was, or is to be, stopped, or the lease is lost."""
        return self.lease_lost or self.stop_mode is not StopMode.NONE

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("enter a cancel scope in a task")
        self._task = task
        self._cancelling = task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if not self._cancel_sent or task is None:
            return False
        # As in asyncio.timeout: a cancellation from outside at the same time is not swallowed.
        own = task.uncancel() <= self._cancelling
        return own and kind is not None and issubclass(kind, asyncio.CancelledError)


class ActiveTurn:
    """One turn of this process, from its acceptance to its end."""

    def __init__(self, session_id: str, number: int) -> None:
        self.session_id = session_id
        self.number = number
        self.cancel_scope = CancelScope()
        self.started = False
        """Whether an attempt at it has started in this process."""
        self.subscribers = 0
        self._result: TurnResult | None = None
        self._events: list[StreamTurnResponse] = []
        self._error: Exception | None = None
        self._waiters: list[asyncio.Future[None]] = []
        """Of subscribers that wait for the next event, or for the end."""

    @property
    def is_over(self) -> bool:
        """Whether subscribers have nothing more to wait for."""
        return self._result is not None or self._error is not None

    def emit(self, event: StreamTurnResponse) -> None:
        """Sends an event to every subscriber, now or later."""
        self._events.append(event)
        self._notify()

    def finish(self, result: TurnResult) -> None:
        """Ends the turn: it is committed."""
        self._result = result
        # A turn that was ended while it waited has emitted nothing.
        self._events = list(result.events)
        self._notify()

    def fail(self, error: Exception) -> None:
        """Ends the turn for this process; subscribers get the error."""
        self._error = error
        self._notify()

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():  # its subscriber was cancelled
                waiter.set_result(None)
        self._waiters.clear()

    async def _wait_for_change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    async def result(self) -> TurnResult:
        """Waits for the end of the turn and returns it.

        Raises:
            TurnMoved: another process goes on with it.
            DialogueError: this process cannot finish it.
        """
        while not self.is_over:
            await self._wait_for_change()
        if self._result is None:
            raise self._error or TurnMoved(self.session_id)
        return self._result

    async def send_events(self, send: Callable[[StreamTurnResponse], Awaitable[None]]) -> None:
        """Sends every event from the first to the last as it is emitted. Raises what `result` raises."""
        sent = 0
        while True:
            while sent < len(self._events):
                await send(self._events[sent])
                sent += 1
            if self._result is not None:
                await send(turn_finished_event(self._result))
                return
            if self._error is not None:
                raise self._error
            await self._wait_for_change()


def turn_finished_event(result: TurnResult) -> StreamTurnResponse:
    """Returns the last event of a turn's stream."""
    event = StreamTurnResponse(sequence=len(result.events) + 1)
    event.turn_finished.turn.CopyFrom(result.turn)
    event.turn_finished.session.CopyFrom(result.session)
    return event
