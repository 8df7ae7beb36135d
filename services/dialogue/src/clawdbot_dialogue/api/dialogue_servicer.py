"""DialogueService on the wire: validates requests and delegates them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from clawdbot.dialogue.v1 import dialogue_service_pb2 as wire
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceServicer
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.caller import current_caller
from clawdbot_servicekit.errors import NotImplementedYet
from clawdbot_servicekit.pagination import number_cursor, page_size, page_token
from typing_extensions import override

from clawdbot_dialogue.api.request_validation import RequestValidator
from clawdbot_dialogue.core.session_admin import SessionAdmin
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.subscription import TurnRef


class DialogueServicer(DialogueServiceServicer):
    """Sessions and their turns."""

    def __init__(self, sessions: SessionAdmin, engine: TurnEngine, validator: RequestValidator) -> None:
        self._sessions = sessions
        self._engine = engine
        self._validator = validator

    @override
    async def CreateSession(
        self, request: wire.CreateSessionRequest, context: Any
    ) -> wire.CreateSessionResponse:
        session, opening = await self._sessions.create(self._validator.create_session(request))
        annotate(session=session.id, flow=session.flow)
        return wire.CreateSessionResponse(session=session, opening=opening)

    @override
    async def GetSession(self, request: wire.GetSessionRequest, context: Any) -> wire.GetSessionResponse:
        session_id = self._validator.session_id(request.session_id)
        annotate(session=session_id)
        return wire.GetSessionResponse(session=await self._sessions.get(_tenant(), session_id))

    @override
    async def ListSessions(
        self, request: wire.ListSessionsRequest, context: Any
    ) -> wire.ListSessionsResponse:
        size, before = page_size(request.page_size), number_cursor("sessions", request.page_token)
        page = await self._sessions.list(_tenant(), self._validator.session_filter(request), size, before)
        return wire.ListSessionsResponse(
            sessions=page.items, next_page_token=page_token("sessions", page.next)
        )

    @override
    async def DeleteSession(
        self, request: wire.DeleteSessionRequest, context: Any
    ) -> wire.DeleteSessionResponse:
        session_id = self._validator.session_id(request.session_id)
        annotate(session=session_id)
        counts = await self._sessions.delete(
            _tenant(), session_id, self._validator.request_id(request.request_id)
        )
        return wire.DeleteSessionResponse(turns=counts.turns, tool_calls=counts.tool_calls)

    @override
    async def SendTurn(self, request: wire.SendTurnRequest, context: Any) -> wire.SendTurnResponse:
        turn_request = self._validator.turn(request)
        annotate(session=turn_request.session_id)
        result = await self._engine.send(turn_request)
        annotate(turn=result.turn.id)
        return wire.SendTurnResponse(turn=result.turn, session=result.session)

    @override
    async def StreamTurn(  # type: ignore[override]  # gRPC also takes a coroutine that writes
        self, request: wire.StreamTurnRequest, context: Any
    ) -> None:
        turn_request = self._validator.turn(request)
        annotate(session=turn_request.session_id)
        await self._engine.stream(turn_request, context.write)

    @override
    async def Converse(
        self, request_iterator: AsyncIterator[wire.ConverseRequest], context: Any
    ) -> AsyncIterator[wire.ConverseResponse]:
        """Not implemented yet."""
        raise NotImplementedYet("Converse")
        yield  # makes this an async generator, as the generated method is

    @override
    async def CancelTurn(self, request: wire.CancelTurnRequest, context: Any) -> wire.CancelTurnResponse:
        ref = await self._turn_ref(request)
        result = await self._engine.cancel(ref)
        return wire.CancelTurnResponse(turn=result.turn, session=result.session)

    @override
    async def ListTurns(self, request: wire.ListTurnsRequest, context: Any) -> wire.ListTurnsResponse:
        session_id = self._validator.session_id(request.session_id)
        annotate(session=session_id)
        newest_first = request.newest_first
        listing = "turns, newest first" if newest_first else "turns"
        size, after = page_size(request.page_size), number_cursor(listing, request.page_token)
        page = await self._sessions.list_turns(_tenant(), session_id, size, after, newest_first=newest_first)
        return wire.ListTurnsResponse(turns=page.items, next_page_token=page_token(listing, page.next))

    @override
    async def ExplainTurn(self, request: wire.ExplainTurnRequest, context: Any) -> wire.ExplainTurnResponse:
        ref = await self._turn_ref(request)
        explanation = await self._sessions.explain_turn(ref.tenant, ref.session_id, ref.number)
        return wire.ExplainTurnResponse(explanation=explanation)

    @override
    async def WatchSession(
        self, request: wire.WatchSessionRequest, context: Any
    ) -> AsyncIterator[wire.WatchSessionResponse]:
        """Not implemented yet."""
        raise NotImplementedYet("WatchSession")
        yield  # makes this an async generator, as the generated method is

    @override
    async def ForkSession(self, request: wire.ForkSessionRequest, context: Any) -> wire.ForkSessionResponse:
        """Not implemented yet."""
        raise NotImplementedYet("ForkSession")

    @override
    async def ExportSession(
        self, request: wire.ExportSessionRequest, context: Any
    ) -> AsyncIterator[wire.ExportSessionResponse]:
        session_id = self._validator.session_id(request.session_id)
        annotate(session=session_id)
        async with aclosing(self._sessions.export(_tenant(), session_id)) as lines:
            async for line in lines:
                yield wire.ExportSessionResponse(data=line)

    async def _turn_ref(self, request: wire.CancelTurnRequest | wire.ExplainTurnRequest) -> TurnRef:
        number, request_id = self._validator.turn_ref(request)
        annotate(session=request.session_id)
        if request_id:
            number = await self._engine.find_turn_number(_tenant(), request.session_id, request_id)
        ref = TurnRef(_tenant(), request.session_id, number)
        annotate(turn=ref.id)
        return ref


def _tenant() -> str:
    return current_caller().tenant
