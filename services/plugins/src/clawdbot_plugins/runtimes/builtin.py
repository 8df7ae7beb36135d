"""Runs a plugin's code in the service's own process.

The plugin's lifespan has a task of its own from start to stop, as a task group in it needs. When that ends
early, the service is no longer ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import structlog
from clawdbot.plugins.v1.plugin_service_pb2 import PLUGIN_RUNTIME_BUILTIN, PLUGIN_STATE_READY
from clawdbot_plugin_sdk import Context, HookDefinition, Launch, Plugin, ToolDefinition, ToolReturn
from clawdbot_servicekit.errors import NotReady, StartupError

from clawdbot_plugins.core import registry_snapshot
from clawdbot_plugins.core.schemas import Schema

STARTING: Final = 10.0
"""Seconds that a plugin has to start."""
STOPPING: Final = 5.0
"""Seconds that a plugin has to stop, before its task is cancelled."""


class BuiltinPlugin:
    """One plugin of this process, from start to stop."""

    def __init__(self, definition: Plugin, launch: Launch) -> None:
        self._definition = definition
        self._launch = launch
        self._state: Any = None
        self._stop = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._log = structlog.get_logger(__name__)

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self._definition.name

    async def start(self) -> None:
        """Returns when the plugin's lifespan has yielded.

        Raises:
            StartupError: when it raises instead, or takes too long.
        """
        try:
            self._launch.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(
                f"Cannot write to {self._launch.folder}: {error.strerror}. Set state_dir to another folder."
            ) from None
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(opened), name=f"life of {self.name}")
        done, _ = await asyncio.wait(
            (opened, self._life), timeout=STARTING, return_when=asyncio.FIRST_COMPLETED
        )
        if opened in done:
            self._state = opened.result()
            return
        life, self._life = self._life, None
        if not done:
            life.cancel()
            await asyncio.wait((life,), timeout=STOPPING)
            raise StartupError(f"The plugin {self.name} did not start within {STARTING:g} s.")
        raise self._why(life)

    def describe(self) -> registry_snapshot.Plugin:
        """What it offers, for the registry."""
        definition = self._definition
        return registry_snapshot.Plugin(
            name=definition.name,
            version=definition.version,
            description=definition.description,
            runtime=PLUGIN_RUNTIME_BUILTIN,
            state=PLUGIN_STATE_READY,
            start_time=self._launch.clock(),
            tools=tuple(self._tool(each) for each in definition.tools.values()),
            hooks=tuple(self._hook(each) for each in definition.hooks),
        )

    def check(self) -> None:
        """Raises NotReady when the plugin's life has ended by itself."""
        if self._life is not None and self._life.done():
            raise NotReady(f"plugin {self.name}", "it has ended by itself")

    async def stop(self) -> None:
        """Ends the lifespan. Safe without a start, and twice."""
        life, self._life = self._life, None
        if life is None:
            return
        self._stop.set()
        _, pending = await asyncio.wait((life,), timeout=STOPPING)
        if pending:
            self._log.error("plugin_did_not_stop", plugin=self.name, seconds=STOPPING)
            life.cancel()
            await asyncio.wait((life,), timeout=STOPPING)
        elif not life.cancelled() and (error := life.exception()):
            self._log.error("plugin_failed_when_stopped", plugin=self.name, exc_info=error)

    def _why(self, life: asyncio.Task[None]) -> StartupError:
        failure = None if life.cancelled() else life.exception()
        if isinstance(failure, StartupError):
            return failure
        self._log.error("plugin_did_not_start", plugin=self.name, exc_info=failure)
        return StartupError(f"The plugin {self.name} cannot start: {failure or 'it was cancelled'}")

    async def _live(self, opened: asyncio.Future[Any]) -> None:
        async with self._definition.open(self._launch) as state:
            opened.set_result(state)
            await self._stop.wait()

    def _tool(self, tool: ToolDefinition) -> registry_snapshot.Tool:
        async def run(arguments: Mapping[str, Any], context: Context) -> ToolReturn:
            return await tool.invoke(arguments, replace(context, state=self._state))

        return registry_snapshot.Tool(
            name=f"{self.name}.{tool.name}",
            plugin=self.name,
            description=tool.description,
            effect=tool.effect,
            timeout=tool.timeout,
            max_in_flight=tool.max_in_flight,
            recognises_repeats=tool.recognises_repeats,
            input=Schema(tool.input_schema),
            output=None if tool.output_schema is None else Schema(tool.output_schema),
            run=run,
        )

    def _hook(self, hook: HookDefinition) -> registry_snapshot.Hook:
        async def run(*arguments: Any) -> Any:
            *first, context = arguments
            return await hook.function(*first, replace(context, state=self._state))

        return registry_snapshot.Hook(
            plugin=self.name,
            kind=hook.kind,
            point=hook.point,
            priority=hook.priority,
            timeout=hook.timeout,
            closed=hook.on_failure == "closed",
            max_in_flight=hook.max_in_flight,
            run=run,
        )
