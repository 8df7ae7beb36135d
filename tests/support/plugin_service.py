"""The plugin service on a real host, with the shipped plugins and those that a test defines with the SDK."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from clawdbot.plugins.v1 import hook_service_pb2, tool_service_pb2
from clawdbot.plugins.v1.hook_service_pb2_grpc import HookServiceStub
from clawdbot.plugins.v1.plugin_service_pb2_grpc import PluginServiceStub
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub
from clawdbot_plugin_sdk import Plugin
from clawdbot_plugins.discovery import installed_plugins
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_plugins.wiring import build
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import RemoteError
from clawdbot_servicekit.host import Host
from google.protobuf.json_format import MessageToDict

from tests.support.plugin_core import Clock

__all__ = ["Client", "Clock", "Served", "plugins_settings", "serving"]


@dataclass(frozen=True)
class Installed:
    """What discovery uses of an entry point."""

    name: str
    plugin: Any
    value: str = "tests:plugin"

    def load(self) -> Any:
        return self.plugin


class Client:
    """A client of the three services over one channel, with plain Python values in and out."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self.tools = ToolServiceStub(channel)
        self.plugins = PluginServiceStub(channel)
        self.hooks = HookServiceStub(channel)
        self._metadata = metadata

    def call(
        self, tool: str, request_id: str = "", context: Mapping[str, str] | None = None, **arguments: Any
    ):
        """Starts a call and returns it."""
        request = tool_service_pb2.InvokeToolRequest(tool=tool, request_id=request_id)
        request.context.MergeFrom(tool_service_pb2.InvocationContext(**(context or {})))
        request.arguments.update(arguments)
        return self.tools.InvokeTool(request, timeout=20, metadata=self._metadata)

    async def events(
        self, tool: str, *args: Any, **options: Any
    ) -> list[tool_service_pb2.InvokeToolResponse]:
        """Returns all events of a call."""
        return [event async for event in self.call(tool, *args, **options)]

    async def result(self, tool: str, *args: Any, **options: Any) -> tool_service_pb2.ToolOutcome:
        """Returns the result of a call."""
        *_, last = await self.events(tool, *args, **options)
        assert last.WhichOneof("event") == "result"
        return last.result

    async def structured(self, tool: str, *args: Any, **options: Any) -> dict[str, Any]:
        """Returns the structured result of a successful call."""
        result = await self.result(tool, *args, **options)
        assert not result.is_error, result
        return MessageToDict(result.structured)

    async def error(self, tool: str, *args: Any, **options: Any) -> RemoteError:
        """Returns the error of a failed call."""
        try:
            events = await self.events(tool, *args, **options)
        except grpc.aio.AioRpcError as error:
            return remote_error(error)
        raise AssertionError(f"the call did not fail: {events}")

    async def attempt(self, tool: str, *args: Any, **options: Any) -> None:
        """Runs a call, successful or not."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self.events(tool, *args, **options)

    async def gate(self, point: str, **named: Any) -> hook_service_pb2.GateResponse:
        subject = hook_service_pb2.HookSubject(point=point, **named)
        return await self.hooks.Gate(
            hook_service_pb2.GateRequest(subject=subject), timeout=20, metadata=self._metadata
        )

    async def observe(self, point: str, facts: Mapping[str, Any] | None = None, **named: Any) -> int:
        subject = hook_service_pb2.HookSubject(point=point, **named)
        subject.facts.update(facts or {})
        request = hook_service_pb2.ObserveRequest(subject=subject)
        return (await self.hooks.Observe(request, timeout=20, metadata=self._metadata)).dropped


class Served:
    """A running service."""

    def __init__(self, host: Host, channel: grpc.aio.Channel) -> None:
        self.host = host
        self.channel = channel
        self.client = Client(channel)

    @property
    def in_process(self) -> Client:
        """A client of the same service without a socket."""
        return Client(self.host.channel())

    def with_key(self, key: str) -> Client:
        """A client that sends an API key."""
        return Client(self.channel, (("authorization", f"Bearer {key}"),))


def plugins_settings(state: Path, *plugins: Any, **sections: Any) -> PluginsSettings:
    """Settings with any free port and without metrics; the sections override them."""
    server = {"port": 0, **sections.pop("server", {})}
    telemetry = {"metrics_port": None, **sections.pop("telemetry", {})}
    return PluginsSettings.model_validate(
        {"server": server, "telemetry": telemetry, "state_dir": state, "plugins": plugins, **sections}
    )


def entry_points(*plugins: Plugin) -> dict[str, Any]:
    """The shipped plugins and these, as if all of them were installed."""
    return {**installed_plugins(), **{each.name: Installed(each.name, each) for each in plugins}}


@asynccontextmanager
async def serving(
    state: Path, *plugins: Any, clock: Callable[[], float] = time.time, **sections: Any
) -> AsyncIterator[Served]:
    """Runs the service in this event loop.

    Args:
        state: its state directory.
        plugins: SDK plugins, or entries as in the configuration; enabled in addition to the defaults.
        clock: the service's.
        sections: more settings.
    """
    defined = [each for each in plugins if isinstance(each, Plugin)]
    listed = [each.name if isinstance(each, Plugin) else each for each in plugins]
    settings = plugins_settings(state, *listed, **sections)
    host = Host(settings)
    try:
        host.add(build(settings, peers=None, clock=clock, available=entry_points(*defined)))  # type: ignore[arg-type]
        await host.start()
        await host.ready()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{host.port}") as channel:
            yield Served(host, channel)
    finally:
        await host.stop(0)
