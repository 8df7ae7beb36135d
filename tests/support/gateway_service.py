"""The model gateway on a real host, together with the plugin service for its hooks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import clawdbot_model_gateway.wiring
import clawdbot_plugins.wiring
import grpc.aio
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, StreamGenerateRequest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import SwitchModelRequest, SwitchModelResponse, Target
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot_model_gateway.application import GatewayApplication
from clawdbot_model_gateway.core.scheduling.scheduler import MIN_TIMES
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import RemoteError
from clawdbot_servicekit.host import Host
from clawdbot_servicekit.peers import InProcessPeers

from tests.support.generate_requests import Event


async def ended_with_task(call: Any) -> Any:
    """The response of a call, or all of its responses. The call ends with the task that awaits it.

    gRPC may lose the cancellation of a task that reads a stream.
    """
    try:
        return await call if hasattr(call, "__await__") else [event async for event in call]
    finally:
        call.cancel()


class Client:
    """Stubs of both gateway services over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.gateway = ModelGatewayServiceStub(channel)
        self.admin = ModelAdminServiceStub(channel)

    def stream(self, request: GenerateRequest, seconds: float = 20.0):
        """The call in progress."""
        return self.gateway.StreamGenerate(StreamGenerateRequest(request=request), timeout=seconds)

    def begin(self, request: GenerateRequest, rpc: str, seconds: float = 20.0) -> Any:
        """The call in progress, to be cancelled: gRPC may lose the cancellation of a task that awaits it."""
        if rpc == "generate":
            return self.gateway.Generate(request, timeout=seconds)
        return self.stream(request, seconds)

    async def events(self, request: GenerateRequest) -> list[Event]:
        return [event async for event in self.stream(request)]

    async def run(self, request: GenerateRequest, rpc: str, seconds: float = 20.0) -> Any:
        """Runs the request to its end, streamed or whole."""
        return await ended_with_task(self.begin(request, rpc, seconds))

    async def fault(
        self, request: GenerateRequest, rpc: str = "generate", seconds: float = 20.0
    ) -> RemoteError:
        """The error that the request ends with."""
        try:
            reply = await self.run(request, rpc, seconds)
        except grpc.aio.AioRpcError as error:
            return remote_error(error)
        raise AssertionError(f"it did not fail: {reply}")

    async def switch(self, alias: str, *targets: str, request_id: str = "") -> SwitchModelResponse:
        made = [Target(target=each) for each in targets]
        return await self.admin.SwitchModel(
            SwitchModelRequest(alias=alias, targets=made, request_id=request_id)
        )


class Served:
    """A running gateway."""

    def __init__(self, host: Host, application: GatewayApplication, channel: grpc.aio.Channel) -> None:
        self.host = host
        self.application = application
        self.client = Client(channel)
        self.inside = Client(host.channel())
        """The same over the in-process channel."""

    @property
    def idle(self) -> bool:
        """Whether no backend has a request in flight."""
        return not any(each.in_flight for each in self.application._components.backends.values())

    def remember_slow_requests(self, backend: str, seconds: float) -> None:
        """Has a backend know that requests keep a slot for so long, without waiting for some that do."""
        scheduler = self.application._components.backends[backend].scheduler
        for _ in range(MIN_TIMES):
            assert scheduler.enter()
            scheduler.leave(time.monotonic() - seconds, None, None)

    def metric(self, name: str, **labels: str) -> float:
        """A metric as it is served; 0 where it was never counted."""
        return self.host.metrics.registry.get_sample_value(name, labels) or 0.0


class GatewayAndPlugins(GatewaySettings, PluginsSettings):
    """The settings of both services."""


@asynccontextmanager
async def gateway(state: Path, **sections: Any) -> AsyncIterator[Served]:
    """The gateway in this event loop, configured by the sections; with echo where they name no model.

    A section `gateway` that does not ask for it has no local model: a test knows which packages it needs.
    """
    if "gateway" in sections:
        sections["gateway"] = {"local_model": False, **sections["gateway"]}
    server = {"port": 0, **sections.pop("server", {})}
    models = sections if {"model", "models", "gateway"} & set(sections) else {"model": {"provider": "echo"}}
    settings = GatewayAndPlugins.model_validate(
        {"server": server, "telemetry": {"metrics_port": None}, "state_dir": state, **sections, **models}
    )
    async with serving(settings) as served:
        yield served


@asynccontextmanager
async def serving(settings: GatewayAndPlugins) -> AsyncIterator[Served]:
    """The gateway in this event loop, with these settings."""
    host = Host(settings)
    peers = InProcessPeers(host)
    try:
        host.add(clawdbot_plugins.wiring.build(settings, peers))
        application = clawdbot_model_gateway.wiring.build(settings, peers)
        host.add(application)
        await host.start()
        await host.ready()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{host.port}") as channel:
            yield Served(host, application, channel)
    finally:
        await host.stop(0)


def compatible(url: str, **more: Any) -> dict[str, Any]:
    """A `model:` section for a fake server."""
    return {"provider": "openai_compatible", "endpoint": url, **more}
