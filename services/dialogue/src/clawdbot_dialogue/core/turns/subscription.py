"""One caller's view of a turn: live where this process does it, from the store where another one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from msgspec import Struct

from clawdbot_dialogue.core.errors import TurnMoved
from clawdbot_dialogue.core.sessions.ids import turn_id
from clawdbot_dialogue.core.sessions.records import TurnResult
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.active_turns import ActiveTurn, ActiveTurns, turn_finished_event

BACKOFF_MIN: Final = 0.02
BACKOFF_MAX: Final = 0.25
"""Seconds between two looks at a turn that another process does."""


class TurnRef(Struct, frozen=True):
    """Which turn."""

    tenant: str
    session_id: str
    number: int

    @property
    def id(self) -> str:
        """The turn's id."""
        return turn_id(self.session_id, self.number)


class TurnSubscription:
    """A turn that somebody waits for."""

    def __init__(
        self,
        ref: TurnRef,
        store: SessionStore,
        turns: ActiveTurns,
        *,
        joined: bool,
        active_turn: ActiveTurn | None,
        finished: TurnResult | None,
        cancel_on_disconnect: bool,
    ) -> None:
        self.name = ref
        self.live = active_turn
        """Where this process does the turn."""
        self.cancels = cancel_on_disconnect
        """Whether the turn is to be cancelled when nobody follows it any more."""
        self.completed = False
        """Whether the end was told."""
        self._joined = joined
        self._finished = finished
        self._store = store
        self._turns = turns

    async def result(self) -> TurnResult:
        """The end of the turn, whoever does it.

        Raises:
            DialogueFault: it cannot be told; SessionNotFound where the session was deleted meanwhile.
        """
        finished = self._finished
        while finished is None:
            try:
                finished = await (self.live.result() if self.live else self._stored())
            except TurnMoved:
                self.live = None
        self.completed = True
        return finished

    async def events(self) -> AsyncGenerator[StreamTurnResponse, None]:
        """Every event of the turn from the first; the same ones, whenever and however often it is asked for.

        Raises:
            TurnMoved: another process does the turn anew, and this caller has seen more than its beginning.
            DialogueFault: as `result`.
        """
        told = 0
        if self.live is not None:
            try:
                async with aclosing(self.live.events()) as events:
                    async for event in events:
                        told += 1
                        yield self._shown(event)
            except TurnMoved:
                if told > 1:
                    raise TurnMoved(self.name.id) from None
                self.live = None
            else:
                self.completed = True
                return
        finished = await self.result()
        for event in (*finished.events, turn_finished_event(finished)):
            if event.sequence > told:
                yield self._shown(event)

    def _shown(self, event: StreamTurnResponse) -> StreamTurnResponse:
        """The event; in the first one, a caller that joined is told so."""
        if not self._joined or not event.HasField("turn_started"):
            return event
        shown = StreamTurnResponse()
        shown.CopyFrom(event)
        shown.turn_started.joined = True
        return shown

    async def _stored(self) -> TurnResult:
        """Looks at the store until the turn's owner has committed it."""
        pause = BACKOFF_MIN
        while True:
            found = await self._store.find_turn(
                self.name.tenant, self.name.session_id, number=self.name.number
            )
            if found.result is not None:
                return found.result
            live = self._turns.get(self.name.session_id, self.name.number)
            if live is not None:
                # Its owner is gone, and this process has taken it over.
                self.live = live
                return await live.result()
            await asyncio.sleep(pause)
            pause = min(BACKOFF_MAX, pause * 1.5)
