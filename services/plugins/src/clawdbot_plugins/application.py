"""The plugin service as an application: starts the plugins, then publishes them; stops in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from clawdbot.plugins.v1.hook_service_pb2_grpc import HookServiceServicer, add_HookServiceServicer_to_server
from clawdbot.plugins.v1.plugin_service_pb2_grpc import (
    PluginServiceServicer,
    add_PluginServiceServicer_to_server,
)
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceServicer, add_ToolServiceServicer_to_server
from clawdbot_servicekit.application import Application, Dependency
from clawdbot_servicekit.error_table import ErrorTable
from typing_extensions import override

from clawdbot_plugins.core.idempotency_store import IdempotencyStore
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.task_runner import TaskRunner
from clawdbot_plugins.runtimes.builtin import BuiltinPlugin


@dataclass(frozen=True, slots=True)
class Components:
    """What the application starts, serves and stops; constructed by wiring.build."""

    plugins: Sequence[BuiltinPlugin]
    registry: Registry
    task_runner: TaskRunner
    observers: Observers
    idempotency_store: IdempotencyStore
    plugin_servicer: PluginServiceServicer
    tool_servicer: ToolServiceServicer
    hook_servicer: HookServiceServicer


class PluginsApplication(Application):
    """The plugin service, built and not yet started."""

    def __init__(self, components: Components, errors: ErrorTable) -> None:
        super().__init__(
            "plugins",
            errors,
            {
                "clawdbot.plugins.v1.PluginService": (
                    add_PluginServiceServicer_to_server,
                    components.plugin_servicer,
                ),
                "clawdbot.plugins.v1.ToolService": (
                    add_ToolServiceServicer_to_server,
                    components.tool_servicer,
                ),
                "clawdbot.plugins.v1.HookService": (
                    add_HookServiceServicer_to_server,
                    components.hook_servicer,
                ),
            },
        )
        self._components = components
        self._log = structlog.get_logger(__name__)

    @override
    def describe(self) -> dict[str, tuple[str, ...]]:
        """Names for a start-up banner, under "plugins", "tools" and "hooks" (each as "point (plugin)")."""
        described = [plugin.describe() for plugin in self._components.plugins]
        return {
            "plugins": tuple(sorted(each.name for each in described)),
            "tools": tuple(sorted(tool.name for each in described for tool in each.tools)),
            "hooks": tuple(
                sorted(f"{hook.point} ({hook.plugin})" for each in described for hook in each.hooks)
            ),
            **super().describe(),
        }

    @override
    async def start(self) -> None:
        """Publishes nothing before every plugin has started, so that no call skips a gate."""
        await self._components.idempotency_store.open()
        for plugin in self._components.plugins:
            await plugin.start()
        self._components.registry.publish(plugin.describe() for plugin in self._components.plugins)
        self._log.info("plugins_started", plugins=[plugin.name for plugin in self._components.plugins])

    @property
    @override
    def dependencies(self) -> Sequence[Dependency]:
        return (
            Dependency("idempotency_store", self._components.idempotency_store.check),
            *(Dependency(f"plugin.{each.name}", each.check) for each in self._components.plugins),
        )

    @override
    async def stop(self) -> None:
        self._components.registry.close()
        await self._components.observers.stop()
        await self._components.task_runner.stop()
        await asyncio.gather(*(plugin.stop() for plugin in self._components.plugins))
        await self._components.idempotency_store.close()
