"""The dialogue service on a real host; its peers are scripted servers on another port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.dialogue.v1.flow_service_pb2_grpc import FlowServiceStub
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.model_gateway.v1 import (
    model_admin_service_pb2,
    model_admin_service_pb2_grpc,
    model_gateway_service_pb2_grpc,
)
from clawdbot.plugins.v1 import (
    hook_service_pb2,
    hook_service_pb2_grpc,
    plugin_service_pb2,
    plugin_service_pb2_grpc,
    tool_service_pb2,
    tool_service_pb2_grpc,
)
from clawdbot_dialogue.core.turns.ports import PeerError
from clawdbot_dialogue.settings import DialogueSettings
from clawdbot_dialogue.wiring import build
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import RemoteError
from clawdbot_servicekit.host import Host
from clawdbot_servicekit.peers import NetworkPeers
from clawdbot_servicekit.status_details import STATUS_KEY, make_status

from tests.support.scripted_peers import ScriptedGateway, ScriptedTools


class ScriptedPeers(
    model_gateway_service_pb2_grpc.ModelGatewayServiceServicer,
    model_admin_service_pb2_grpc.ModelAdminServiceServicer,
    tool_service_pb2_grpc.ToolServiceServicer,
    plugin_service_pb2_grpc.PluginServiceServicer,
    hook_service_pb2_grpc.HookServiceServicer,
):
    """The model gateway and the plugin service on the wire."""

    def __init__(self) -> None:
        self.gateway = ScriptedGateway()
        self.tools = ScriptedTools()
        self.hooks: list[hook_service_pb2.HookRegistration] = []
        self.refusal: hook_service_pb2.GateResponse | None = None
        self.observed: asyncio.Queue[hook_service_pb2.HookSubject] = asyncio.Queue()
        self.breaks = 0
        """How many of the next tool calls end with a broken connection before the tool is run."""
        self.tenants: list[str] = []
        self.models = ["chat"]
        """Aliases; ListModels returns one on each page."""

    async def StreamGenerate(self, request, context):
        self.tenants += [v for k, v in context.invocation_metadata() if k == "x-clawdbot-tenant"]
        try:
            async for event in self.gateway.events(request):
                yield event
        except PeerError as error:
            await _abort(context, grpc.StatusCode.NOT_FOUND, error)

    async def ListModels(self, request, context):
        at = int(request.page_token or 0)
        models = [model_admin_service_pb2.Model(name=name) for name in self.models[at : at + 1]]
        following = str(at + 1) if at + 1 < len(self.models) else ""
        return model_admin_service_pb2.ListModelsResponse(models=models, next_page_token=following)

    async def ListTools(self, request, context):
        return tool_service_pb2.ListToolsResponse(tools=self.tools._tools.values())

    async def InvokeTool(self, request, context):
        if self.breaks:
            self.breaks -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if request.tool not in self.tools._tools:
            error = PeerError("TOOL_NOT_FOUND", f"There is no tool {request.tool}.")
            await _abort(context, grpc.StatusCode.NOT_FOUND, error)
        progress = tool_service_pb2.ToolProgress(message="working")
        yield tool_service_pb2.InvokeToolResponse(progress=progress)
        yield tool_service_pb2.InvokeToolResponse(result=await self.tools.invoke(request))

    async def WatchPlugins(self, request, context):
        plugin = plugin_service_pb2.Plugin(name="scripted", hooks=self.hooks)
        yield plugin_service_pb2.WatchPluginsResponse(plugins=[plugin], revision=1)
        await asyncio.get_running_loop().create_future()

    async def Gate(self, request, context):
        return self.refusal or hook_service_pb2.GateResponse(allowed=True)

    async def Observe(self, request, context):
        await self.observed.put(request.subject)
        return hook_service_pb2.ObserveResponse()


async def _abort(context: Any, code: grpc.StatusCode, error: PeerError) -> None:
    status = make_status(code, error.reason, error.message)
    await context.abort(code, error.message, ((STATUS_KEY, status.SerializeToString()),))


class RunningService:
    """The running service, and stubs to call it."""

    def __init__(self, host: Host, peers: ScriptedPeers, channel: grpc.aio.Channel) -> None:
        self.host = host
        self.peers = peers
        self.channel = channel
        self.dialogue = DialogueServiceStub(channel)
        self.flows = FlowServiceStub(channel)

    async def open(self, flow: str = "chat", **fields: Any) -> Session:
        """Creates a session."""
        response = await self.dialogue.CreateSession(pb.CreateSessionRequest(flow=flow, **fields), timeout=20)
        return response.session

    async def send(self, session: Session, text: str | None = None, **fields: Any) -> pb.SendTurnResponse:
        """Sends a turn and returns the response."""
        content = {} if text is None else {"text": text}
        request = pb.SendTurnRequest(session_id=session.id, **content, **fields)
        return await self.dialogue.SendTurn(request, timeout=20)

    def stream(self, session: Session, text: str, **fields: Any) -> Any:
        """Starts to stream a turn."""
        request = pb.StreamTurnRequest(session_id=session.id, text=text, **fields)
        return self.dialogue.StreamTurn(request, timeout=20)


async def rpc_error(call: Any) -> RemoteError:
    """Awaits a call that must fail, and returns the error with its details."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return remote_error(error)
    raise AssertionError("the call succeeded")


async def stream_rpc_error(call: Any) -> RemoteError:
    """Reads a stream that must fail, and returns the error with its details."""

    async def drain() -> None:
        async for _ in call:
            pass

    return await rpc_error(drain())


def dialogue_settings(state: Path, peers: str, **sections: Any) -> DialogueSettings:
    """Settings for a free port, with both peers at an address."""
    return DialogueSettings.model_validate(
        {
            "server": {"port": 0, **sections.pop("server", {})},
            "telemetry": {"metrics_port": None},
            "peers": {"model_gateway": peers, "plugins": peers},
            "state_dir": state,
            **sections,
        }
    )


@asynccontextmanager
async def scripted_peers() -> AsyncIterator[tuple[ScriptedPeers, str]]:
    """Runs the peers; yields them and their address."""
    peers, server = ScriptedPeers(), grpc.aio.server()
    model_gateway_service_pb2_grpc.add_ModelGatewayServiceServicer_to_server(peers, server)
    model_admin_service_pb2_grpc.add_ModelAdminServiceServicer_to_server(peers, server)
    tool_service_pb2_grpc.add_ToolServiceServicer_to_server(peers, server)
    plugin_service_pb2_grpc.add_PluginServiceServicer_to_server(peers, server)
    hook_service_pb2_grpc.add_HookServiceServicer_to_server(peers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield peers, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def serving(state: Path, **sections: Any) -> AsyncIterator[RunningService]:
    """Runs the dialogue service; yields it once it is SERVING."""
    async with scripted_peers() as (peers, address):
        peers.hooks = sections.pop("hooks", [])
        settings = dialogue_settings(state, address, **sections)
        host, network = Host(settings), NetworkPeers(settings)
        try:
            host.on_stop(network.close)
            host.add(build(settings, network))
            await host.start()
            await host.ready()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{host.port}") as channel:
                yield RunningService(host, peers, channel)
        finally:
            await host.stop(0)
