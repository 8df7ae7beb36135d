"""A client of the dialogue service, as another team would write it: generated stubs on a channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import grpc.aio
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.dialogue.v1.turn_pb2 import Turn


class Talk:
    """One conversation with the service."""

    def __init__(self, stub: DialogueServiceStub, opened: pb.CreateSessionResponse) -> None:
        self.stub = stub
        self.session = opened.session
        self.opening = said(opened.opening)

    async def say(self, text: str, request_id: str = "") -> Turn:
        """Sends a message with SendTurn; returns the turn."""
        reply = await self.stub.SendTurn(
            pb.SendTurnRequest(session_id=self.session.id, request_id=request_id, text=text), timeout=30
        )
        self.session = reply.session
        return reply.turn

    async def stream(self, text: str, request_id: str = "") -> Sequence[pb.StreamTurnResponse]:
        """Sends a message with StreamTurn; returns all of its events."""
        request = pb.StreamTurnRequest(session_id=self.session.id, request_id=request_id, text=text)
        return [event async for event in self.stub.StreamTurn(request, timeout=30)]


@asynccontextmanager
async def talk(address: str, flow: str) -> AsyncIterator[Talk]:
    """A new conversation in the flow, on its own channel."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = DialogueServiceStub(channel)
        request = pb.CreateSessionRequest(flow=flow, request_id=uuid4().hex)
        yield Talk(stub, await stub.CreateSession(request, timeout=30))


def said(turn: Turn) -> str:
    """The replies of a turn, one per line."""
    return "\n".join("".join(part.text for part in reply.parts) for reply in turn.replies)


def kinds(events: Sequence[pb.StreamTurnResponse]) -> list[str]:
    """The kinds of the events, in order."""
    return [event.WhichOneof("event") or "" for event in events]
