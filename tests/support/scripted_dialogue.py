"""A dialogue service and a model gateway on a real server, scripted by a test."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, Message, Part
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1 import dialogue_service_pb2_grpc, flow_service_pb2_grpc, turn_pb2
from clawdbot.dialogue.v1.flow_service_pb2 import Flow, ListFlowsResponse
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ACTIVE, Session
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as models_pb
from clawdbot.model_gateway.v1 import model_admin_service_pb2_grpc
from clawdbot_servicekit.status_details import STATUS_KEY, make_status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "clawdbot.dialogue.v1.DialogueService"

BREAK = object()
"""In a script: the connection breaks here, the first time that the turn is streamed."""
HOLD = object()
"""In a script: nothing more happens until the turn is cancelled."""

Script = Sequence[object]


def said(*pieces: str, index: int = 0) -> list[pb.StreamTurnResponse]:
    """The text deltas of one reply."""
    return [
        pb.StreamTurnResponse(text_delta=turn_pb2.TurnTextDelta(text=each, reply_index=index))
        for each in pieces
    ]


class ScriptedDialogue(
    dialogue_service_pb2_grpc.DialogueServiceServicer,
    flow_service_pb2_grpc.FlowServiceServicer,
    model_admin_service_pb2_grpc.ModelAdminServiceServicer,
):
    """Streams each turn as the script of its text says; `scripts` maps a text to events, BREAK and HOLD."""

    def __init__(self, scripts: dict[str, Script] | None = None) -> None:
        self.scripts = scripts or {}
        self.session = Session(
            id="s-1", flow="chat", flow_version=1, state="talk", status=SESSION_STATUS_ACTIVE
        )
        self.opening: turn_pb2.Turn | None = None
        self.turns: list[turn_pb2.Turn] = []
        self.told: Counter[str] = Counter()
        """request_id → how often its turn was streamed."""
        self.keys: list[str] = []
        self.switched: list[models_pb.SwitchModelRequest] = []
        self.held = asyncio.Event()
        """Set when a script has reached HOLD."""
        self._cancelled = asyncio.Event()

    async def CreateSession(self, request, context):
        self.keys += [value for key, value in context.invocation_metadata() if key == "authorization"]
        if request.flow not in ("chat", "book_table"):
            await refuse(
                context, grpc.StatusCode.NOT_FOUND, "FLOW_NOT_FOUND", f"There is no flow {request.flow}."
            )
        self.session.flow = request.flow
        return pb.CreateSessionResponse(session=self.session, opening=self.opening)

    async def GetSession(self, request, context):
        if request.session_id != self.session.id:
            await refuse(
                context,
                grpc.StatusCode.NOT_FOUND,
                "SESSION_NOT_FOUND",
                f"There is no session {request.session_id}.",
            )
        return pb.GetSessionResponse(session=self.session)

    async def ListTurns(self, request, context):
        start = int(request.page_token or 0)
        turns = self.turns[::-1] if request.newest_first else self.turns
        page = turns[start : start + (request.page_size if request.newest_first else 2)]
        end = start + len(page)
        return pb.ListTurnsResponse(turns=page, next_page_token=str(end) if end < len(turns) else "")

    async def StreamTurn(self, request, context):
        self.told[request.request_id] += 1
        again = self.told[request.request_id] > 1
        started = turn_pb2.TurnStarted(turn_id="t-1", session_id=request.session_id, joined=again)
        yield pb.StreamTurnResponse(turn_started=started)
        status = turn_pb2.TURN_STATUS_DONE
        for each in self.scripts.get(request.text, said("Yes.")):
            if each is BREAK and not again:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            elif each is HOLD:
                self.held.set()
                await self._cancelled.wait()
                status = turn_pb2.TURN_STATUS_CANCELLED
            elif isinstance(each, pb.StreamTurnResponse):
                yield each
        turn = turn_pb2.Turn(id="t-1", request_id=request.request_id, status=status)
        yield pb.StreamTurnResponse(turn_finished=turn_pb2.TurnFinished(turn=turn, session=self.session))

    async def CancelTurn(self, request, context):
        self._cancelled.set()
        return pb.CancelTurnResponse(turn=turn_pb2.Turn(id="t-1"), session=self.session)

    async def ListFlows(self, request, context):
        flows = [Flow(name="chat", version=1, description="Talk about anything")]
        return ListFlowsResponse(flows=flows)

    async def ListModels(self, request, context):
        target = models_pb.Target(target="echo/echo")
        return models_pb.ListModelsResponse(
            models=[
                models_pb.Model(name="chat", targets=[target]),
                models_pb.Model(name="echo/echo", provider="echo"),
            ]
        )

    async def SwitchModel(self, request, context):
        if request.targets[0].target != "echo/echo":
            await refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "There is no such model.")
        self.switched.append(request)
        reply = models_pb.SwitchModelResponse(previous_targets=[models_pb.Target(target="openai/gpt")])
        reply.elapsed.FromMicroseconds(125)
        return reply


async def refuse(context, code: grpc.StatusCode, reason: str, message: str) -> None:
    """Ends the call with an error, as a Clawdbot service does."""
    status = make_status(code, reason, message)
    await context.abort(code, message, ((STATUS_KEY, status.SerializeToString()),))


@asynccontextmanager
async def serving(dialogue: ScriptedDialogue, port: int = 0) -> AsyncIterator[str]:
    """Runs it on a server; yields the server's address."""
    server = grpc.aio.server()
    dialogue_service_pb2_grpc.add_DialogueServiceServicer_to_server(dialogue, server)
    flow_service_pb2_grpc.add_FlowServiceServicer_to_server(dialogue, server)
    model_admin_service_pb2_grpc.add_ModelAdminServiceServicer_to_server(dialogue, server)
    probes = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(probes, server)
    await probes.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)


def reply(text: str) -> Message:
    """A complete reply."""
    return Message(role=ROLE_ASSISTANT, parts=[Part(text=text)])
