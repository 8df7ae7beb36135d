"""The services as the chat sees them: one method for each thing that it asks.

Every failed call leaves as a RemoteError, whose message is a sentence for the person at the terminal.
"""

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

from clawdbot_cli.rpc import faults, pages

PAGE: Final = 500
"""The largest page that the services give."""
PATIENCE: Final = 20.0
"""Seconds for a call that should answer at once."""
TURN_PATIENCE: Final = 600.0
"""Seconds for a turn: what servers allow at most. After it the stream is joined anew."""


def new_id() -> str:
    """A name for a session or a turn that nobody else gives."""
    return f"chat-{secrets.token_hex(12)}"


class Client:
    """Calls the services on one channel, with one key."""

    def __init__(self, channel: grpc.aio.Channel, key: str | None = None) -> None:
        self._dialogue = DialogueServiceStub(channel)
        self._flows = FlowServiceStub(channel)
        self._models = ModelAdminServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()

    async def open(self, flow: str, locale: str = "") -> pb.CreateSessionResponse:
        """A new session in the newest version of a flow, and what it says first.

        Args:
            flow: its name.
            locale: the person's language, as a BCP 47 tag; empty for the flow's default.
        """
        request = pb.CreateSessionRequest(flow=flow, locale=locale, request_id=new_id())
        with faults():
            return await self._dialogue.CreateSession(request, timeout=PATIENCE, metadata=self._metadata)

    async def session(self, session_id: str) -> Session:
        """The session as of its last committed turn."""
        request = pb.GetSessionRequest(session_id=session_id)
        with faults():
            reply = await self._dialogue.GetSession(request, timeout=PATIENCE, metadata=self._metadata)
        return reply.session

    async def last_turns(self, session_id: str, count: int) -> Sequence[Turn]:
        """The session's newest turns, oldest of them first."""
        request = pb.ListTurnsRequest(session_id=session_id, page_size=count, newest_first=True)
        with faults():
            reply = await self._dialogue.ListTurns(request, timeout=PATIENCE, metadata=self._metadata)
        return reply.turns[::-1]

    async def turn(
        self, session_id: str, request_id: str, text: str, *, wait: bool = False
    ) -> AsyncGenerator[pb.StreamTurnResponse, None]:
        """The events of a turn from its first; with a request_id that is known, of that same turn.

        Args:
            session_id: whose turn.
            request_id: the turn's name.
            text: what the person said.
            wait: until there is a server to ask, instead of failing at once.
        """
        request = pb.StreamTurnRequest(session_id=session_id, request_id=request_id, text=text)
        call = self._dialogue.StreamTurn(
            request, timeout=TURN_PATIENCE, metadata=self._metadata, wait_for_ready=wait
        )
        try:
            with faults():
                async for event in call:
                    yield event
        finally:
            call.cancel()

    async def cancel(self, session_id: str, request_id: str = "", turn_id: str = "") -> Turn:
        """Ends a turn that waits or runs; the turn afterwards."""
        request = pb.CancelTurnRequest(session_id=session_id, request_id=request_id, turn_id=turn_id)
        with faults():
            reply = await self._dialogue.CancelTurn(request, timeout=PATIENCE, metadata=self._metadata)
        return reply.turn

    async def explain(self, session_id: str, turn_id: str) -> Explanation:
        """Why a finished turn went the way it went."""
        request = pb.ExplainTurnRequest(session_id=session_id, turn_id=turn_id)
        with faults():
            reply = await self._dialogue.ExplainTurn(request, timeout=PATIENCE, metadata=self._metadata)
        return reply.explanation

    async def flows(self) -> Sequence[Flow]:
        """The newest version of every flow, by name."""
        found = list[Flow]()
        async for page in pages(self._asking(self._flows.ListFlows), ListFlowsRequest(page_size=PAGE)):
            found.extend(page.flows)
        return found

    async def models(self) -> Sequence[models_pb.Model]:
        """Aliases and targets, by name."""
        found = list[models_pb.Model]()
        async for page in pages(
            self._asking(self._models.ListModels), models_pb.ListModelsRequest(page_size=PAGE)
        ):
            found.extend(page.models)
        return found

    async def switch(self, alias: str, target: str) -> models_pb.SwitchModelResponse:
        """Points an alias at another target, for everybody; what it meant before and how long it took."""
        request = models_pb.SwitchModelRequest(
            alias=alias, targets=[models_pb.Target(target=target)], request_id=new_id()
        )
        with faults():
            return await self._models.SwitchModel(request, timeout=PATIENCE, metadata=self._metadata)

    def _asking(self, method: Callable[..., Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """A method for calls that should answer at once, with this client's key."""
        return partial(method, timeout=PATIENCE, metadata=self._metadata)
