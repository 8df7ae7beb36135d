"""DialogueService on the wire."""
# ruff: noqa: ARG002 - the generated signatures

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from clawdbot.dialogue.v1 import dialogue_service_pb2 as wire
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceServicer
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.errors import NotImplementedYet
from clawdbot_servicekit.paging import number_place, page_size, page_token

from clawdbot_dialogue.api.request_validation import RequestValidator
from clawdbot_dialogue.core.session_admin import SessionAdmin
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.subscription import TurnRef


class DialogueServicer(DialogueServiceServicer):
    """Holds conversations."""

    def __init__(self, sessions: SessionAdmin, engine: TurnEngine, intake: RequestValidator) -> None:
        self._sessions = sessions
        self._engine = engine
        self._intake = intake

    async def CreateSession(
        self, request: wire.CreateSessionRequest, context: Any
    ) -> wire.CreateSessionResponse:
        """As the contract says."""
        session, opening = await self._sessions.create(self._intake.session(request))
        annotate(session=session.id, flow=session.flow)
        return wire.CreateSessionResponse(session=session, opening=opening)

    async def GetSession(self, request: wire.GetSessionRequest, context: Any) -> wire.GetSessionResponse:
        """As the contract says."""
        session = await self._sessions.get(_tenant(), self._intake.session_id(request.session_id))
        annotate(session=session.id)
        return wire.GetSessionResponse(session=session)

    async def ListSessions(
        self, request: wire.ListSessionsRequest, context: Any
    ) -> wire.ListSessionsResponse:
        """As the contract says."""
        size, before = page_size(request.page_size), number_place("sessions", request.page_token)
        page = await self._sessions.list(_tenant(), self._intake.filter(request), size, before)
        return wire.ListSessionsResponse(
            sessions=page.items, next_page_token=page_token("sessions", page.next)
        )

    async def DeleteSession(
        self, request: wire.DeleteSessionRequest, context: Any
    ) -> wire.DeleteSessionResponse:
        """As the contract says."""
        session_id = self._intake.session_id(request.session_id)
        annotate(session=session_id)
        erased = await self._sessions.delete(
            _tenant(), session_id, self._intake.request_id(request.request_id)
        )
        return wire.DeleteSessionResponse(turns=erased.turns, tool_calls=erased.tool_calls)

    async def SendTurn(self, request: wire.SendTurnRequest, context: Any) -> wire.SendTurnResponse:
        """As the contract says."""
        wish = self._intake.turn(request)
        annotate(session=wish.session_id)
        finished = await self._engine.send(wish)
        annotate(turn=finished.turn.id)
        return wire.SendTurnResponse(turn=finished.turn, session=finished.session)

    async def StreamTurn(
        self, request: wire.StreamTurnRequest, context: Any
    ) -> AsyncIterator[wire.StreamTurnResponse]:
        """As the contract says."""
        wish = self._intake.turn(request)
        annotate(session=wish.session_id)
        async with aclosing(self._engine.stream(wish)) as events:
            async for event in events:
                yield event

    async def Converse(
        self, request_iterator: AsyncIterator[wire.ConverseRequest], context: Any
    ) -> AsyncIterator[wire.ConverseResponse]:
        """Later."""
        raise NotImplementedYet("Converse")
        yield  # an async generator, as the contract's streams are

    async def CancelTurn(self, request: wire.CancelTurnRequest, context: Any) -> wire.CancelTurnResponse:
        """As the contract says."""
        number, request_id = self._intake.turn_ref(request)
        if request_id:
            number = await self._engine.find_turn_number(_tenant(), request.session_id, request_id)
        name = TurnRef(_tenant(), request.session_id, number)
        annotate(session=name.session_id, turn=name.id)
        finished = await self._engine.cancel(name)
        return wire.CancelTurnResponse(turn=finished.turn, session=finished.session)

    async def ListTurns(self, request: wire.ListTurnsRequest, context: Any) -> wire.ListTurnsResponse:
        """As the contract says."""
        session_id = self._intake.session_id(request.session_id)
        newest_first = request.newest_first
        listing = "turns, newest first" if newest_first else "turns"
        size, after = page_size(request.page_size), number_place(listing, request.page_token)
        page = await self._sessions.list_turns(_tenant(), session_id, size, after, newest_first=newest_first)
        return wire.ListTurnsResponse(turns=page.items, next_page_token=page_token(listing, page.next))

    async def ExplainTurn(self, request: wire.ExplainTurnRequest, context: Any) -> wire.ExplainTurnResponse:
        """As the contract says."""
        number, request_id = self._intake.turn_ref(request)
        if request_id:
            number = await self._engine.find_turn_number(_tenant(), request.session_id, request_id)
        explanation = await self._sessions.explain_turn(_tenant(), request.session_id, number)
        return wire.ExplainTurnResponse(explanation=explanation)

    async def WatchSession(
        self, request: wire.WatchSessionRequest, context: Any
    ) -> AsyncIterator[wire.WatchSessionResponse]:
        """Later."""
        raise NotImplementedYet("WatchSession")
        yield  # an async generator, as the contract's streams are

    async def ForkSession(self, request: wire.ForkSessionRequest, context: Any) -> wire.ForkSessionResponse:
        """Later."""
        raise NotImplementedYet("ForkSession")

    async def ExportSession(
        self, request: wire.ExportSessionRequest, context: Any
    ) -> AsyncIterator[wire.ExportSessionResponse]:
        """As the contract says."""
        session_id = self._intake.session_id(request.session_id)
        async with aclosing(self._sessions.export(_tenant(), session_id)) as lines:
            async for line in lines:
                yield wire.ExportSessionResponse(data=line)


def _tenant() -> str:
    return current_caller().tenant
