"""The composition root of the plugin service: the only file that knows every class."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final

from clawdbot_plugin_sdk import LifespanContext
from clawdbot_servicekit.application import Peers
from clawdbot_servicekit.errors import StartupError

from clawdbot_plugins.api.error_table import error_table
from clawdbot_plugins.api.hook_servicer import HookServicer
from clawdbot_plugins.api.plugin_servicer import PluginServicer
from clawdbot_plugins.api.tool_servicer import ToolServicer
from clawdbot_plugins.application import Components, PluginsApplication
from clawdbot_plugins.core.hooks import HookRunner
from clawdbot_plugins.core.idempotency import IdempotentExecutor
from clawdbot_plugins.core.idempotency_store import IdempotencyStore
from clawdbot_plugins.core.invocation import ToolInvoker
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.task_runner import TaskRunner
from clawdbot_plugins.discovery import installed_plugins, load_enabled_plugins
from clawdbot_plugins.runtimes.builtin import BuiltinPlugin
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryIdempotencyStore
from clawdbot_plugins.stores.sqlite.idempotency_store import SqliteIdempotencyStore

STATE_FOLDER: Final = "plugins"
"""Subfolder of state_dir."""


def build(
    settings: PluginsSettings,
    peers: Peers,
    *,
    clock: Callable[[], float] = time.time,
    available: Mapping[str, EntryPoint] | None = None,
) -> PluginsApplication:
    """Builds the plugin service, without starting it.

    Args:
        settings: of this service, or of the whole suite.
        peers: unused, because this service calls no other.
        clock: seconds since 1970.
        available: the installed plugins; discovered if omitted.

    Raises:
        StartupError: for an unknown plugin, or invalid settings of one.
    """
    del peers
    folder = settings.state_dir / STATE_FOLDER
    plugins = load_enabled_plugins(
        settings.plugin_configs(), installed_plugins() if available is None else available
    )
    registry, task_runner = Registry(), TaskRunner()
    hooks = HookRunner(registry, task_runner)
    observers = Observers(registry, task_runner, queue_size=settings.hooks.queue)
    store = _idempotency_store(settings, folder, clock)
    executor = IdempotentExecutor(store)
    invoker = ToolInvoker(
        registry, hooks, observers, executor, task_runner, max_result=settings.tools.max_result
    )
    components = Components(
        plugins=[
            BuiltinPlugin(
                each.definition,
                LifespanContext(
                    settings=each.settings,
                    folder=folder / each.definition.name,
                    workers=settings.server.workers,
                    clock=clock,
                ),
            )
            for each in plugins
        ],
        registry=registry,
        task_runner=task_runner,
        observers=observers,
        idempotency_store=store,
        plugin_servicer=PluginServicer(registry),
        tool_servicer=ToolServicer(registry, invoker, clock),
        hook_servicer=HookServicer(hooks, observers, clock),
    )
    return PluginsApplication(components, error_table())


def _idempotency_store(
    settings: PluginsSettings, folder: Path, clock: Callable[[], float]
) -> IdempotencyStore:
    tools = settings.tools
    if tools.store == "memory":
        if settings.server.workers > 1:
            raise StartupError(
                f"tools.store: {settings.server.workers} workers cannot share memory. Set it to sqlite."
            )
        return InMemoryIdempotencyStore(retention=tools.remember, capacity=tools.remember_calls, clock=clock)
    return SqliteIdempotencyStore(
        folder / "ledger", retention=tools.remember, capacity=tools.remember_calls, clock=clock
    )
