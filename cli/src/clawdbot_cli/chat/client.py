"""The client of the services for `clawdbot chat`: a method for each call. Failed calls raise RemoteError."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import grpc.aio
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.dialogue.v1.explanation_pb2 import Explanation
from clawdbot.dialogue.v1.flow_service_pb2 import Flow, ListFlowsRequest
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceStub
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as models_pb
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub

from clawdbot_cli.rpc import paginate, remote_errors

PAGE_SIZE: Final = 500
"""The largest page that the services return."""
CALL_TIMEOUT: Final = 20.0
"""Seconds for a call that should return at once."""
TURN_TIMEOUT: Final = 600.0
"""Seconds for the stream of a turn: the most that servers allow. After it the turn is joined again."""


def new_request_id() -> str:
    """A unique request id for a session, a turn or SwitchModel."""
    return f"chat-{secrets.token_hex(12)}"


class ChatClient:
    """Calls the services on one channel, with one key."""

    def __init__(self, channel: grpc.aio.Channel, key: str | None = None) -> None:
        self._dialogue = DialogueServiceStub(channel)
        self._flows = FlowServiceStub(channel)
        self._models = ModelAdminServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()

    async def create_session(self, flow: str, locale: str = "") -> pb.CreateSessionResponse:
        """A new session in the newest version of a flow, and the flow's opening.

        Args:
            flow: its name.
            locale: the person's language, as a BCP 47 tag; empty for the flow's default.
        """
        request = pb.CreateSessionRequest(flow=flow, locale=locale, request_id=new_request_id())
        with remote_errors():
            return await self._dialogue.CreateSession(request, timeout=CALL_TIMEOUT, metadata=self._metadata)

    async def get_session(self, session_id: str) -> Session:
        """The session as of its last committed turn."""
        request = pb.GetSessionRequest(session_id=session_id)
        with remote_errors():
            reply = await self._dialogue.GetSession(request, timeout=CALL_TIMEOUT, metadata=self._metadata)
        return reply.session

    async def last_turns(self, session_id: str, count: int) -> Sequence[Turn]:
        """The session's newest turns, in the order in which they took place."""
        request = pb.ListTurnsRequest(session_id=session_id, page_size=count, newest_first=True)
        with remote_errors():
            reply = await self._dialogue.ListTurns(request, timeout=CALL_TIMEOUT, metadata=self._metadata)
        return reply.turns[::-1]

    async def stream_turn(
        self, session_id: str, request_id: str, text: str, *, wait: bool = False
    ) -> AsyncGenerator[pb.StreamTurnResponse, None]:
        """The events of a turn, from its first. A known request_id joins the turn that has it.

        Args:
            session_id: the turn's session.
            request_id: identifies the turn.
            text: the person's message.
            wait: whether to wait for a server, instead of failing at once.
        """
        request = pb.StreamTurnRequest(session_id=session_id, request_id=request_id, text=text)
        call = self._dialogue.StreamTurn(
            request, timeout=TURN_TIMEOUT, metadata=self._metadata, wait_for_ready=wait
        )
        try:
            with remote_errors():
                async for event in call:
                    yield event
        finally:
            call.cancel()

    async def cancel_turn(self, session_id: str, request_id: str = "", turn_id: str = "") -> Turn:
        """Cancels a turn that is queued or running; the turn afterwards."""
        request = pb.CancelTurnRequest(session_id=session_id, request_id=request_id, turn_id=turn_id)
        with remote_errors():
            reply = await self._dialogue.CancelTurn(request, timeout=CALL_TIMEOUT, metadata=self._metadata)
        return reply.turn

    async def explain_turn(self, session_id: str, turn_id: str) -> Explanation:
        """The explanation of a finished turn."""
        request = pb.ExplainTurnRequest(session_id=session_id, turn_id=turn_id)
        with remote_errors():
            reply = await self._dialogue.ExplainTurn(request, timeout=CALL_TIMEOUT, metadata=self._metadata)
        return reply.explanation

    async def list_flows(self) -> Sequence[Flow]:
        """The newest version of every flow, sorted by name."""
        found = list[Flow]()
        fetch = self._with_defaults(self._flows.ListFlows)
        async for page in paginate(fetch, ListFlowsRequest(page_size=PAGE_SIZE)):
            found.extend(page.flows)
        return found

    async def list_models(self) -> Sequence[models_pb.Model]:
        """Aliases and targets, sorted by name."""
        found = list[models_pb.Model]()
        fetch = self._with_defaults(self._models.ListModels)
        async for page in paginate(fetch, models_pb.ListModelsRequest(page_size=PAGE_SIZE)):
            found.extend(page.models)
        return found

    async def switch_model(self, alias: str, target: str) -> models_pb.SwitchModelResponse:
        """Points an alias at another target, for all users; its previous targets and the time it took."""
        request = models_pb.SwitchModelRequest(
            alias=alias, targets=[models_pb.Target(target=target)], request_id=new_request_id()
        )
        with remote_errors():
            return await self._models.SwitchModel(request, timeout=CALL_TIMEOUT, metadata=self._metadata)

    def _with_defaults(self, method: Callable[..., Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """The method with CALL_TIMEOUT and this client's key."""
        return partial(method, timeout=CALL_TIMEOUT, metadata=self._metadata)
