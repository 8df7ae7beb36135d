"""Runs plugins' code in tasks of its own, so that a timeout or a cancelled call really ends it.

Code that swallows its cancellation cannot hold up the caller: it is given a moment, reported, and left to end
alone; until then it still counts as in flight.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import structlog

T = TypeVar("T")

GRACE: Final = 1.0
"""Seconds that cancelled code has to clean up."""


class Busy(Exception):
    """As many are in flight as may be; nothing was begun."""


class OutOfTime(Exception):
    """The code did not end in time and was cancelled. Not TimeoutError, which the code itself may raise."""


class Bodies:
    """Every piece of plugin code that is running, with an owner that waits for it."""

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._in_flight: Counter[str] = Counter()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._log = structlog.get_logger(__name__)

    async def run(self, label: str, body: Callable[[], Awaitable[T]], *, seconds: float, limit: int) -> T:
        """What the body returns or raises.

        Args:
            label: names the code in logs, and is what `limit` counts by.
            body: called once, if at all.
            seconds: how long it may take.
            limit: how many of this label may be in flight.

        Raises:
            Busy: before the body was called.
            OutOfTime: after it was cancelled.
        """
        if self._in_flight[label] >= limit:
            raise Busy
        task = asyncio.create_task(_guarded(body), name=label)
        self._in_flight[label] += 1
        task.add_done_callback(self._ended)
        try:
            done, _ = await asyncio.wait((task,), timeout=seconds)
        except asyncio.CancelledError:
            await self._cancel(task)
            raise
        if not done:
            await self._cancel(task)
            raise OutOfTime
        if task.cancelled():
            # Nobody out here cancelled it: to the caller it must not look as if it had been cancelled itself.
            raise RuntimeError(f"{label} cancelled itself")
        return task.result()

    async def stop(self) -> None:
        """Waits a moment for what was cancelled and has not ended."""
        if self._cancelled:
            await asyncio.wait(self._cancelled, timeout=self._grace)

    async def _cancel(self, task: asyncio.Task[Any]) -> None:
        self._cancelled.add(task)
        task.cancel()
        _, pending = await asyncio.wait((task,), timeout=self._grace)
        if pending:
            self._log.error("plugin_ignores_cancellation", code=task.get_name(), seconds=self._grace)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        label = task.get_name()
        self._in_flight[label] -= 1
        if not self._in_flight[label]:
            del self._in_flight[label]
        if task in self._cancelled:
            self._cancelled.discard(task)
            if not task.cancelled() and (error := task.exception()):
                self._log.warning("plugin_failed_when_cancelled", code=label, error=type(error).__name__)


async def _guarded(body: Callable[[], Awaitable[T]]) -> T:
    try:
        return await body()
    except SystemExit as error:
        # asyncio would hand it to the loop, and one plugin's exit() would end the service.
        raise RuntimeError("a plugin tried to exit the process") from error
