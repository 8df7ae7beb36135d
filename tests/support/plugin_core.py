"""The plugin service's core with plugins that a test defines with the SDK: no server, no gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from clawdbot_plugin_sdk import Context, LifespanContext, Plugin, Subject
from clawdbot_plugins.core.hooks import HookRunner
from clawdbot_plugins.core.idempotency import IdempotentExecutor
from clawdbot_plugins.core.idempotency_store import IdempotencyStore
from clawdbot_plugins.core.invocation import ToolCall, ToolInvoker
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.single_flight import ToolEvent, ToolOutcome
from clawdbot_plugins.core.task_runner import TaskRunner
from clawdbot_plugins.runtimes.builtin import BuiltinPlugin
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryIdempotencyStore


class Clock:
    """Seconds since 1970, advanced manually."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Core:
    """Everything between the servicers and the plugins."""

    def __init__(self, store: IdempotencyStore, *, queue_size: int, max_result: int, grace: float) -> None:
        self.registry = Registry()
        self.task_runner = TaskRunner(grace)
        self.hooks = HookRunner(self.registry, self.task_runner)
        self.observers = Observers(self.registry, self.task_runner, queue_size=queue_size)
        self.store = store
        self.invoker = ToolInvoker(
            self.registry,
            self.hooks,
            self.observers,
            IdempotentExecutor(store),
            self.task_runner,
            max_result=max_result,
        )

    async def events(self, tool: str, request_id: str = "", tenant: str = "default", **arguments: Any):
        """Returns all events of a call."""
        call = ToolCall(tool, arguments, Context(request_id=request_id, tenant=tenant))
        async with aclosing(self.invoker.invoke(call)) as events:
            return [event async for event in events]

    async def outcome(self, tool: str, request_id: str = "", **options: Any) -> ToolOutcome:
        """Returns the outcome of a call."""
        last: ToolEvent = (await self.events(tool, request_id, **options))[-1]
        assert isinstance(last, ToolOutcome)
        return last

    async def gate(self, point: str, **named: str):
        return await self.hooks.gate(Subject(point, **named), Context())


@asynccontextmanager
async def core_of(
    folder: Path,
    *plugins: Plugin,
    store: IdempotencyStore | None = None,
    queue_size: int = 100,
    max_result: int = 64 * 1024,
    grace: float = 1.0,
) -> AsyncIterator[Core]:
    """Starts the plugins, yields the core, and stops them afterwards."""
    core = Core(store or in_memory(), queue_size=queue_size, max_result=max_result, grace=grace)
    running = [
        BuiltinPlugin(each, LifespanContext(settings=_defaults(each), folder=folder / each.name))
        for each in plugins
    ]
    await core.store.open()
    for each in running:
        await each.start()
    core.registry.publish(each.describe() for each in running)
    try:
        yield core
    finally:
        core.registry.close()
        await core.observers.stop()
        await core.task_runner.stop()
        await asyncio.gather(*(each.stop() for each in running))
        await core.store.close()


def in_memory(clock: Any = None, **options: Any) -> InMemoryIdempotencyStore:
    """A store in memory."""
    return InMemoryIdempotencyStore(
        **{"retention": 3600.0, "capacity": 1000, **options}, clock=clock or Clock()
    )


def _defaults(plugin: Plugin) -> Any:
    return None if plugin.settings is None else plugin.settings()
