"""Runs the turn engine's tasks: each is awaited, and none of them ends the others when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import structlog
from clawdbot_servicekit.errors import ShuttingDown

_log = structlog.get_logger(__name__)


class TaskSupervisor:
    """A task group that lives as long as the engine. Start and stop it in the event loop that uses it."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._main: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether `spawn` accepts tasks."""
        return self._group is not None and self._main is not None and not self._main.done()

    async def start(self) -> None:
        """Accepts tasks from now on."""
        self._main = asyncio.create_task(self._hold_group(), name="turn engine")
        await self._up.wait()

    async def stop(self) -> None:
        """Cancels all tasks and accepts no more. Safe when called twice."""
        main, self._main, self._group = self._main, None, None
        if main is not None:
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)

    def spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        """Runs the coroutine in a task.

        Raises:
            ShuttingDown: the supervisor is stopped; the coroutine is not run.
        """
        if self._group is None:
            coroutine.close()
            raise ShuttingDown
        self._group.create_task(self._guard(coroutine))

    async def _hold_group(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._up.set()
            await asyncio.get_running_loop().create_future()  # until cancelled

    async def _guard(self, coroutine: Coroutine[None, None, None]) -> None:
        try:
            await coroutine
        except Exception:  # noqa: BLE001 - logged; a defect in one task must not end every turn
            _log.exception("engine_task_failed")
