"""Turns that are under way, or wait, in this process: their events so far, and whoever follows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.turn_pb2 import TurnFinished

from clawdbot_dialogue.core.errors import TurnMoved
from clawdbot_dialogue.core.sessions.records import StopMode, TurnResult


class CancelScope:
    """Ends what runs inside it when somebody says so: `with` it around the work, `stop` from another task.

    The block then ends early without an exception, and `up` says so. Do not begin it when the sign is up
    already. Cancelling the task itself passes through.
    """

    def __init__(self) -> None:
        self.stop_mode = StopMode.NONE
        self.lease_lost = False
        """True when the claim is gone: nothing may be written any more."""
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._sent = False

    def stop(self, wish: StopMode) -> None:
        """Ends the work; a rollback is not softened by a later, gentler wish."""
        self.stop_mode = max(self.stop_mode, wish)
        self._send()

    def lose_lease(self) -> None:
        """Ends the work because another writer has the session."""
        self.lease_lost = True
        self._send()

    def _send(self) -> None:
        if self._task is not None and not self._sent:
            self._sent = True
            self._task.cancel()

    @property
    def cancel_called(self) -> bool:
        """Whether the work is to end."""
        return self.lease_lost or self.stop_mode is not StopMode.NONE

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stop sign stands in a task")
        self._task = task
        self._cancelling = task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if not self._sent or task is None:
            return False
        # As in asyncio.timeout: a cancellation from outside, at the same time, is not swallowed.
        mine = task.uncancel() <= self._cancelling
        return mine and kind is not None and issubclass(kind, asyncio.CancelledError)


class ActiveTurn:
    """One turn of this process, from acceptance to its end."""

    def __init__(self, session_id: str, number: int) -> None:
        self.session_id = session_id
        self.number = number
        self.cancel_scope = CancelScope()
        self.started = False
        self.subscribers = 0
        self.finished: TurnResult | None = None
        self._events: list[StreamTurnResponse] = []
        self._fault: Exception | None = None
        self._news: asyncio.Event | None = None
        """What followers wait for, once there are any that do."""

    @property
    def is_over(self) -> bool:
        """Whether followers have nothing more to wait for."""
        return self.finished is not None or self._fault is not None

    def emit(self, event: StreamTurnResponse) -> None:
        """Tells everybody who follows, now or later."""
        self._events.append(event)
        self._tell()

    def finish(self, finished: TurnResult) -> None:
        """The turn is committed."""
        self.finished = finished
        # A turn that was ended while it waited was never told about.
        self._events = list(finished.events)
        self._tell()

    def fail(self, fault: Exception) -> None:
        """This process can say no more about the turn; followers get the fault."""
        self._fault = fault
        self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    async def _more(self) -> None:
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    async def wait_until_over(self) -> None:
        """Returns when there is nothing more to wait for."""
        while not self.is_over:
            await self._more()

    async def result(self) -> TurnResult:
        """The end of the turn.

        Raises:
            TurnMoved: another process goes on with it.
            DialogueFault: it cannot be told.
        """
        await self.wait_until_over()
        if self.finished is None:
            raise self._fault or TurnMoved(self.session_id)
        return self.finished

    async def events(self) -> AsyncGenerator[StreamTurnResponse, None]:
        """Every event from the first to the last, as they come. Raises as `result` does."""
        told = 0
        while True:
            while told < len(self._events):
                yield self._events[told]
                told += 1
            if self.finished is not None:
                yield turn_finished_event(self.finished)
                return
            if self._fault is not None:
                raise self._fault
            await self._more()


class ActiveTurns:
    """The turns of this process, by session and number."""

    def __init__(self) -> None:
        self._turns: dict[str, dict[int, ActiveTurn]] = {}

    def get(self, session_id: str, number: int) -> ActiveTurn | None:
        """The turn, while it is not over."""
        return self._turns.get(session_id, {}).get(number)

    def open(self, session_id: str, number: int) -> ActiveTurn:
        """The turn, made where it is not known yet."""
        turns = self._turns.setdefault(session_id, {})
        live = turns.get(number)
        if live is None:
            live = turns[number] = ActiveTurn(session_id, number)
        return live

    def start(self, session_id: str, number: int) -> ActiveTurn:
        """The turn, for whoever is about to do it. An attempt that another claim cut off is told so first."""
        live = self.get(session_id, number)
        if live is not None and live.started:
            live.cancel_scope.lose_lease()
            live.fail(TurnMoved(session_id))
            self.remove(live)
        live = self.open(session_id, number)
        live.started = True
        return live

    def remove(self, live: ActiveTurn) -> None:
        """Forgets a turn; those who follow it keep it."""
        if self.get(live.session_id, live.number) is live:
            turns = self._turns[live.session_id]
            del turns[live.number]
            if not turns:
                del self._turns[live.session_id]

    def of_session(self, session_id: str) -> list[ActiveTurn]:
        """The turns of one session, earliest first."""
        return [live for _, live in sorted(self._turns.get(session_id, {}).items())]


def turn_finished_event(finished: TurnResult) -> StreamTurnResponse:
    """The event that ends a turn's stream."""
    return StreamTurnResponse(
        sequence=len(finished.events) + 1,
        turn_finished=TurnFinished(turn=finished.turn, session=finished.session),
    )
