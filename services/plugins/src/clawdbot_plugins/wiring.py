"""Puts the plugin service together: the only file that knows every class."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final

from clawdbot_plugin_sdk import Launch
from clawdbot_servicekit.application import Peers
from clawdbot_servicekit.errors import StartupError

from clawdbot_plugins.api.error_table import error_table
from clawdbot_plugins.api.hook_servicer import HookServicer
from clawdbot_plugins.api.plugin_servicer import PluginServicer
from clawdbot_plugins.api.tool_servicer import ToolServicer
from clawdbot_plugins.application import Parts, PluginsApplication
from clawdbot_plugins.core.hooks import Hooks
from clawdbot_plugins.core.idempotency import OnceOnly
from clawdbot_plugins.core.idempotency_store import Ledger
from clawdbot_plugins.core.invocation import Invoker
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.task_runner import Bodies
from clawdbot_plugins.discovery import choose, installed
from clawdbot_plugins.runtimes.builtin import BuiltinPlugin
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryLedger
from clawdbot_plugins.stores.sqlite.idempotency_store import SqliteLedger

FOLDER: Final = "plugins"
"""Under state_dir."""


def build(
    settings: PluginsSettings,
    peers: Peers,
    *,
    clock: Callable[[], float] = time.time,
    available: Mapping[str, EntryPoint] | None = None,
) -> PluginsApplication:
    """The plugin service, not yet started.

    Args:
        settings: its settings, or the suite's.
        peers: not needed: this service calls nobody.
        clock: seconds since 1970.
        available: the plugins that are installed; looked up when left out.

    Raises:
        StartupError: for an unknown plugin, or wrong settings of one.
    """
    del peers
    folder = settings.state_dir / FOLDER
    chosen = choose(settings.choices(), installed() if available is None else available)
    registry, bodies = Registry(), Bodies()
    hooks = Hooks(registry, bodies)
    observers = Observers(registry, bodies, queue=settings.hooks.queue)
    ledger = _ledger(settings, folder, clock)
    invoker = Invoker(
        registry, hooks, observers, OnceOnly(ledger), bodies, max_result=settings.tools.max_result
    )
    parts = Parts(
        plugins=[
            BuiltinPlugin(
                each.definition,
                Launch(
                    settings=each.settings,
                    folder=folder / each.definition.name,
                    workers=settings.server.workers,
                    clock=clock,
                ),
            )
            for each in chosen
        ],
        registry=registry,
        bodies=bodies,
        observers=observers,
        ledger=ledger,
        plugin_servicer=PluginServicer(registry),
        tool_servicer=ToolServicer(registry, invoker, clock),
        hook_servicer=HookServicer(hooks, observers, clock),
    )
    return PluginsApplication(parts, error_table())


def _ledger(settings: PluginsSettings, folder: Path, clock: Callable[[], float]) -> Ledger:
    tools = settings.tools
    if tools.store == "memory":
        if settings.server.workers > 1:
            raise StartupError(
                f"tools.store: memory cannot be shared by {settings.server.workers} workers; use sqlite."
            )
        return InMemoryLedger(remember=tools.remember, capacity=tools.remember_calls, clock=clock)
    return SqliteLedger(
        folder / "ledger", remember=tools.remember, capacity=tools.remember_calls, clock=clock
    )
