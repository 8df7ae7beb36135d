"""Runs plugins' code in separate tasks, so that a timeout or a cancelled call always reaches the code.

Code that ignores its cancellation does not block the caller: after a grace period it is reported and left to
end on its own; until then it still counts as in flight.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import structlog

T = TypeVar("T")

CANCELLATION_GRACE: Final = 1.0
"""Seconds that cancelled code has to clean up."""


class TaskLimitReached(Exception):
    """The limit of tasks in flight is reached; nothing was started."""


class TaskTimedOut(Exception):
    """The code exceeded its timeout and was cancelled. Not TimeoutError, which the code itself may raise."""


class TaskRunner:
    """Owns and awaits every task that runs plugin code."""

    def __init__(self, grace: float = CANCELLATION_GRACE) -> None:
        self._grace = grace
        self._in_flight: Counter[str] = Counter()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._log = structlog.get_logger(__name__)

    async def run(
        self, label: str, function: Callable[[], Awaitable[T]], *, timeout_seconds: float, limit: int
    ) -> T:
        """Runs the function and returns its result or raises its exception.

        Args:
            label: names the code in logs; `limit` counts by it.
            function: called at most once.
            timeout_seconds: how long it may run.
            limit: maximum number of tasks in flight with this label.

        Raises:
            TaskLimitReached: before the function was called.
            TaskTimedOut: after it was cancelled.
        """
        if self._in_flight[label] >= limit:
            raise TaskLimitReached
        task = asyncio.create_task(_run_guarded(function), name=label)
        self._in_flight[label] += 1
        task.add_done_callback(self._on_done)
        try:
            done, _ = await asyncio.wait((task,), timeout=timeout_seconds)
        except asyncio.CancelledError:
            await self._cancel(task)
            raise
        if not done:
            await self._cancel(task)
            raise TaskTimedOut
        if task.cancelled():
            # The code cancelled itself. The caller must not take that for a cancellation of its own.
            raise RuntimeError(f"{label} cancelled itself")
        return task.result()

    async def stop(self) -> None:
        """Waits for cancelled tasks that have not ended, at most for the grace period."""
        if self._cancelled:
            await asyncio.wait(self._cancelled, timeout=self._grace)

    async def _cancel(self, task: asyncio.Task[Any]) -> None:
        self._cancelled.add(task)
        task.cancel()
        _, pending = await asyncio.wait((task,), timeout=self._grace)
        if pending:
            self._log.error("plugin_ignores_cancellation", code=task.get_name(), seconds=self._grace)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        label = task.get_name()
        self._in_flight[label] -= 1
        if not self._in_flight[label]:
            del self._in_flight[label]
        if task in self._cancelled:
            self._cancelled.discard(task)
            if not task.cancelled() and (error := task.exception()):
                self._log.warning("plugin_failed_when_cancelled", code=label, error=type(error).__name__)


async def _run_guarded(function: Callable[[], Awaitable[T]]) -> T:
    try:
        return await function()
    except SystemExit as error:
        # asyncio would pass it on to the event loop, and one plugin's exit() would end the service.
        raise RuntimeError("a plugin tried to exit the process") from error
