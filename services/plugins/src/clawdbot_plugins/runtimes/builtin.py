"""Runs a plugin's code in the service's own process.

Each plugin's lifespan runs in one task from start to stop, because a task group in it requires that. If the
task ends early, the service is no longer ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import structlog
from clawdbot.plugins.v1.plugin_service_pb2 import PLUGIN_RUNTIME_BUILTIN, PLUGIN_STATE_READY
from clawdbot_plugin_sdk import Context, HookDefinition, LifespanContext, Plugin, ToolDefinition, ToolReturn
from clawdbot_servicekit.errors import NotReady, StartupError
from clawdbot_servicekit.private_files import create_folder

from clawdbot_plugins.core import registry_snapshot
from clawdbot_plugins.core.schemas import Schema

START_TIMEOUT: Final = 10.0
"""Seconds that a plugin has to start."""
STOP_TIMEOUT: Final = 5.0
"""Seconds that a plugin has to stop before its task is cancelled."""


class BuiltinPlugin:
    """One plugin of this process, from start to stop."""

    def __init__(self, definition: Plugin, context: LifespanContext) -> None:
        self._definition = definition
        self._context = context
        self._state: Any = None
        self._stop = asyncio.Event()
        self._lifespan_task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger(__name__)

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self._definition.name

    async def start(self) -> None:
        """Returns once the plugin's lifespan has yielded.

        Raises:
            StartupError: the lifespan raised, ended or exceeded START_TIMEOUT.
        """
        try:
            create_folder(self._context.folder)
        except OSError as error:
            raise StartupError(
                f"Cannot write to {self._context.folder}: {error.strerror}. Set state_dir to another folder."
            ) from None
        yielded: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._lifespan_task = asyncio.create_task(
            self._run_lifespan(yielded), name=f"lifespan of {self.name}"
        )
        done, _ = await asyncio.wait(
            (yielded, self._lifespan_task), timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        if yielded in done:
            self._state = yielded.result()
            return
        task, self._lifespan_task = self._lifespan_task, None
        if not done:
            task.cancel()
            await asyncio.wait((task,), timeout=STOP_TIMEOUT)
            raise StartupError(f"The plugin {self.name} did not start within {START_TIMEOUT:g} s.")
        raise self._startup_error(task)

    def describe(self) -> registry_snapshot.RegisteredPlugin:
        """The plugin's entry for the registry."""
        definition = self._definition
        return registry_snapshot.RegisteredPlugin(
            name=definition.name,
            version=definition.version,
            description=definition.description,
            runtime=PLUGIN_RUNTIME_BUILTIN,
            state=PLUGIN_STATE_READY,
            start_time=self._context.clock(),
            tools=tuple(self._tool(each) for each in definition.tools.values()),
            hooks=tuple(self._hook(each) for each in definition.hooks),
        )

    async def check(self) -> None:
        """Raises NotReady if the plugin's lifespan has ended early, or what the plugin's own check raises."""
        if self._lifespan_task is not None and self._lifespan_task.done():
            raise NotReady(f"plugin {self.name}", "its lifespan ended early")
        await self._definition.run_check(self._state)

    async def stop(self) -> None:
        """Ends the lifespan. Safe to call without a start, and twice."""
        task, self._lifespan_task = self._lifespan_task, None
        if task is None:
            return
        self._stop.set()
        _, pending = await asyncio.wait((task,), timeout=STOP_TIMEOUT)
        if pending:
            self._log.error("plugin_did_not_stop", plugin=self.name, seconds=STOP_TIMEOUT)
            task.cancel()
            await asyncio.wait((task,), timeout=STOP_TIMEOUT)
        elif not task.cancelled() and (error := task.exception()):
            self._log.error("plugin_failed_when_stopped", plugin=self.name, exc_info=error)

    def _startup_error(self, task: asyncio.Task[None]) -> StartupError:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StartupError):
            return error
        self._log.error("plugin_did_not_start", plugin=self.name, exc_info=error)
        return StartupError(f"The plugin {self.name} cannot start: {error or 'it was cancelled'}")

    async def _run_lifespan(self, yielded: asyncio.Future[Any]) -> None:
        async with self._definition.open(self._context) as state:
            yielded.set_result(state)
            await self._stop.wait()

    def _tool(self, tool: ToolDefinition) -> registry_snapshot.RegisteredTool:
        async def run(arguments: Mapping[str, Any], context: Context) -> ToolReturn:
            return await tool.invoke(arguments, replace(context, state=self._state))

        return registry_snapshot.RegisteredTool(
            name=f"{self.name}.{tool.name}",
            plugin=self.name,
            description=tool.description,
            effect=tool.effect,
            timeout=tool.timeout,
            max_in_flight=tool.max_in_flight,
            recognises_repeats=tool.recognises_repeats,
            input_schema=Schema(tool.input_schema),
            output_schema=None if tool.output_schema is None else Schema(tool.output_schema),
            run=run,
        )

    def _hook(self, hook: HookDefinition) -> registry_snapshot.RegisteredHook:
        async def run(*arguments: Any) -> Any:
            *first, context = arguments
            return await hook.function(*first, replace(context, state=self._state))

        return registry_snapshot.RegisteredHook(
            plugin=self.name,
            kind=hook.kind,
            point=hook.point,
            priority=hook.priority,
            timeout=hook.timeout,
            fails_closed=hook.on_failure == "closed",
            max_in_flight=hook.max_in_flight,
            run=run,
        )
