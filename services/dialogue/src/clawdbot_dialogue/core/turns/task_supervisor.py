"""The turn engine's tasks: each is awaited by its owner, and none takes the others along when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import structlog
from clawdbot_servicekit.errors import ShuttingDown

_log = structlog.get_logger(__name__)


class TaskSupervisor:
    """A group of tasks that lives as long as the engine. Start and stop it in the loop that uses it."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._main: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether tasks are taken."""
        return self._group is not None and self._main is not None and not self._main.done()

    async def start(self) -> None:
        """Takes tasks from now on."""
        self._main = asyncio.create_task(self._keep(), name="turn engine")
        await self._up.wait()

    async def stop(self) -> None:
        """Cancels what runs and takes nothing more. Safe twice."""
        main, self._main, self._group = self._main, None, None
        if main is not None:
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Does the work in a task. ShuttingDown, and nothing done, after the end."""
        if self._group is None:
            work.close()
            raise ShuttingDown
        self._group.create_task(self._guarded(work))

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._up.set()
            await asyncio.get_running_loop().create_future()  # until cancelled

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - logged; a defect in one must not end everybody's turns
            _log.exception("engine_task_failed")
