"""The plugin service's core around plugins that a test defines with the SDK: no server, no wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from clawdbot_plugin_sdk import Context, Launch, Plugin, Subject
from clawdbot_plugins.core.hooks import Hooks
from clawdbot_plugins.core.idempotency import OnceOnly
from clawdbot_plugins.core.idempotency_store import Ledger
from clawdbot_plugins.core.invocation import Call, Invoker
from clawdbot_plugins.core.observers import Observers
from clawdbot_plugins.core.registry import Registry
from clawdbot_plugins.core.single_flight import News, Outcome
from clawdbot_plugins.core.task_runner import Bodies
from clawdbot_plugins.runtimes.builtin import BuiltinPlugin
from clawdbot_plugins.stores.in_memory.idempotency_store import InMemoryLedger


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Core:
    """Everything between the servicers and the plugins."""

    def __init__(self, ledger: Ledger, *, queue: int, max_result: int, grace: float) -> None:
        self.registry = Registry()
        self.bodies = Bodies(grace)
        self.hooks = Hooks(self.registry, self.bodies)
        self.observers = Observers(self.registry, self.bodies, queue=queue)
        self.ledger = ledger
        self.invoker = Invoker(
            self.registry,
            self.hooks,
            self.observers,
            OnceOnly(ledger),
            self.bodies,
            max_result=max_result,
        )

    async def events(self, tool: str, request_id: str = "", tenant: str = "default", **arguments: Any):
        """Everything that a call tells."""
        call = Call(tool, arguments, Context(request_id=request_id, tenant=tenant))
        async with aclosing(self.invoker.invoke(call)) as news:
            return [each async for each in news]

    async def outcome(self, tool: str, request_id: str = "", **options: Any) -> Outcome:
        """What a call comes to."""
        last: News = (await self.events(tool, request_id, **options))[-1]
        assert isinstance(last, Outcome)
        return last

    async def gate(self, point: str, **named: str):
        return await self.hooks.gate(Subject(point, **named), Context())


@asynccontextmanager
async def core_of(
    folder: Path,
    *plugins: Plugin,
    ledger: Ledger | None = None,
    queue: int = 100,
    max_result: int = 64 * 1024,
    grace: float = 1.0,
) -> AsyncIterator[Core]:
    """A core with the plugins started, stopped on the way out."""
    core = Core(ledger or in_memory(), queue=queue, max_result=max_result, grace=grace)
    running = [
        BuiltinPlugin(each, Launch(settings=_defaults(each), folder=folder / each.name)) for each in plugins
    ]
    await core.ledger.open()
    for each in running:
        await each.start()
    core.registry.publish(each.describe() for each in running)
    try:
        yield core
    finally:
        core.registry.close()
        await core.observers.stop()
        await core.bodies.stop()
        await asyncio.gather(*(each.stop() for each in running))
        await core.ledger.close()


def in_memory(clock: Any = None, **options: Any) -> InMemoryLedger:
    """A ledger that forgets with the test."""
    return InMemoryLedger(**{"remember": 3600.0, "capacity": 1000, **options}, clock=clock or Clock())


def _defaults(plugin: Plugin) -> Any:
    return None if plugin.settings is None else plugin.settings()
