"""The plugin service as an application: starts plugins, then shows them; stops in the opposite order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc.aio
import structlog
from clawdbot.plugins.v1.hook_service_pb2_grpc import HookServiceServicer, add_HookServiceServicer_to_server
from clawdbot.plugins.v1.plugin_service_pb2_grpc import (
    PluginServiceServicer,
    add_PluginServiceServicer_to_server,
)
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceServicer, add_ToolServiceServicer_to_server
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import NotReady

from clawdbot_plugins.core.idempotency_store import Ledger, LedgerUnavailable
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.task_runner import Bodies
from clawdbot_plugins.runtimes.builtin import BuiltinPlugin

SERVICES: Final = (
    "clawdbot.plugins.v1.PluginService",
    "clawdbot.plugins.v1.ToolService",
    "clawdbot.plugins.v1.HookService",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of; wiring makes them."""

    plugins: Sequence[BuiltinPlugin]
    registry: Registry
    bodies: Bodies
    observers: Observers
    ledger: Ledger
    plugin_servicer: PluginServiceServicer
    tool_servicer: ToolServiceServicer
    hook_servicer: HookServiceServicer


class PluginsApplication:
    """The plugin service, built and not yet started."""

    def __init__(self, parts: Parts, errors: ErrorTable) -> None:
        self._parts = parts
        self._errors = errors
        self._log = structlog.get_logger(__name__)

    @property
    def name(self) -> str:
        """As the port says."""
        return "plugins"

    @property
    def services(self) -> tuple[str, ...]:
        """As the port says."""
        return SERVICES

    @property
    def errors(self) -> ErrorTable:
        """As the port says."""
        return self._errors

    def register(self, server: grpc.aio.Server) -> None:
        """As the port says."""
        add_PluginServiceServicer_to_server(self._parts.plugin_servicer, server)
        add_ToolServiceServicer_to_server(self._parts.tool_servicer, server)
        add_HookServiceServicer_to_server(self._parts.hook_servicer, server)

    def describe(self) -> dict[str, tuple[str, ...]]:
        """What there is, for a banner: names under "plugins", "tools" and "hooks" (as "point (plugin)")."""
        described = [plugin.describe() for plugin in self._parts.plugins]
        return {
            "plugins": tuple(sorted(each.name for each in described)),
            "tools": tuple(sorted(tool.name for each in described for tool in each.tools)),
            "hooks": tuple(
                sorted(f"{hook.point} ({hook.plugin})" for each in described for hook in each.hooks)
            ),
        }

    async def start(self) -> None:
        """As the port says. Nothing is shown before every plugin has started: a gate must not be missed."""
        await self._parts.ledger.open()
        for plugin in self._parts.plugins:
            await plugin.start()
        self._parts.registry.publish(plugin.describe() for plugin in self._parts.plugins)
        self._log.info("plugins_started", plugins=[plugin.name for plugin in self._parts.plugins])

    async def check(self) -> None:
        """As the port says."""
        for plugin in self._parts.plugins:
            plugin.check()
        try:
            await self._parts.ledger.check()
        except LedgerUnavailable as error:
            raise NotReady("the record of once-only calls", error.explanation) from error

    async def stop(self) -> None:
        """As the port says."""
        self._parts.registry.close()
        await self._parts.observers.stop()
        await self._parts.bodies.stop()
        await asyncio.gather(*(plugin.stop() for plugin in self._parts.plugins))
        await self._parts.ledger.close()
