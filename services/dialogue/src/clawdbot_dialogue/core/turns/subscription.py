"""One caller's view of a turn: live if this process runs it, from the store if another one does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from msgspec import Struct

from clawdbot_dialogue.core.errors import TurnMoved
from clawdbot_dialogue.core.sessions.ids import turn_id
from clawdbot_dialogue.core.sessions.records import TurnResult
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.active_turn import ActiveTurn, turn_finished_event
from clawdbot_dialogue.core.turns.lease_table import LeaseTable

BACKOFF_MIN: Final = 0.02
BACKOFF_MAX: Final = 0.25
"""Seconds between two reads of a turn that another process runs."""


class TurnRef(Struct, frozen=True):
    """Identifies a turn."""

    tenant: str
    session_id: str
    number: int

    @property
    def id(self) -> str:
        """The turn's id."""
        return turn_id(self.session_id, self.number)


class TurnSubscription:
    """Waits for an accepted turn for one caller; the turn goes on without this caller too."""

    def __init__(
        self,
        ref: TurnRef,
        store: SessionStore,
        leases: LeaseTable,
        *,
        joined: bool = False,
        result: TurnResult | None = None,
        cancel_on_disconnect: bool = False,
    ) -> None:
        """Subscribes to a turn.

        Args:
            ref: The turn.
            store: Where another process's turn is read.
            leases: The turns of this process.
            joined: Whether the caller's request_id joined the turn.
            result: The turn's end, if it is known.
            cancel_on_disconnect: Whether the turn is to be cancelled once its last subscriber leaves.
        """
        self.ref = ref
        self._store = store
        self._leases = leases
        self._joined = joined
        self._result = result
        self._cancel_on_disconnect = cancel_on_disconnect
        self._completed = False
        """Whether the caller got the end of the turn."""
        self._active_turn: ActiveTurn | None = None
        """The turn in this process; None if it is in another one, or over."""
        session = None if result is not None else leases.get(ref.session_id)
        if session is not None:
            self._follow(session.follow(ref.number))

    def close(self) -> bool:
        """Ends the subscription; returns whether the turn is to be cancelled for want of subscribers."""
        active_turn = self._active_turn
        self._follow(None)
        if self._completed or not self._cancel_on_disconnect:
            return False
        return active_turn is None or not active_turn.subscribers

    def _follow(self, active_turn: ActiveTurn | None) -> None:
        if self._active_turn is not None:
            self._active_turn.subscribers -= 1
        if active_turn is not None:
            active_turn.subscribers += 1
        self._active_turn = active_turn

    async def result(self) -> TurnResult:
        """Waits for the end of the turn, whichever process runs it, and returns it.

        Raises:
            SessionNotFound: the session was deleted meanwhile.
            DialogueError: the end cannot be read.
        """
        result = self._result
        while result is None:
            try:
                result = await (self._active_turn.result() if self._active_turn else self._poll_store())
            except TurnMoved:
                self._follow(None)
        self._completed = True
        return result

    async def send_events(self, send: Callable[[StreamTurnResponse], Awaitable[None]]) -> None:
        """Sends every event of the turn from the first one on: the same ones for every subscriber.

        Raises:
            TurnMoved: another process runs the turn again, and this caller has got some of its events.
            DialogueError: as `result`.
        """
        sent = 0

        def send_next(event: StreamTurnResponse) -> Awaitable[None]:
            nonlocal sent
            sent += 1
            return send(self._marked(event))

        if self._active_turn is not None:
            try:
                await self._active_turn.send_events(send_next)
            except TurnMoved:
                if sent > 1:
                    raise TurnMoved(self.ref.id) from None
                self._follow(None)
            else:
                self._completed = True
                return
        result = await self.result()
        for event in (*result.events, turn_finished_event(result)):
            if event.sequence > sent:
                await send(self._marked(event))

    def _marked(self, event: StreamTurnResponse) -> StreamTurnResponse:
        """The event; the first one says `joined` to a caller whose request_id joined the turn."""
        if not self._joined or not event.HasField("turn_started"):
            return event
        marked = StreamTurnResponse()
        marked.CopyFrom(event)
        marked.turn_started.joined = True
        return marked

    async def _poll_store(self) -> TurnResult:
        """Reads the store until the process that runs the turn has committed it."""
        pause = BACKOFF_MIN
        while True:
            found = await self._store.find_turn(self.ref.tenant, self.ref.session_id, number=self.ref.number)
            if found.result is not None:
                return found.result
            active_turn = self._leases.get_turn(self.ref.session_id, self.ref.number)
            if active_turn is not None:
                # The process that ran it is dead, and this one has taken it over.
                self._follow(active_turn)
                return await active_turn.result()
            await asyncio.sleep(pause)
            pause = min(BACKOFF_MAX, pause * 1.5)
