"""Writes what limits and usage count, in the background: soon after a call, and once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from clawdbot_model_gateway.core.limits.limit_store import LimitStore, LimitStoreUnavailable
from clawdbot_model_gateway.core.limits.usage_ledger import UsageLedger, UsageUnavailable
from clawdbot_model_gateway.core.limits.usage_meter import DAY, UsageMeter, utc_day

log = structlog.get_logger(__name__)

MIN_INTERVAL: Final = 0.2
"""Seconds between two flushes while calls end: what a process that is killed loses at most."""
INTERVAL: Final = 1.0
"""Seconds between two flushes while none does."""
FORGET_INTERVAL: Final = 3600.0
"""Seconds between two removals of old days."""
STOP_TIMEOUT: Final = 5.0
"""Seconds that the last flush may take."""


class Accounting:
    """Starts and stops the stores, and flushes what was counted.

    Args:
        ledger: of usage.
        meter: counts it.
        retention: seconds for which usage is kept.
        store: of limits.
    """

    def __init__(self, ledger: UsageLedger, meter: UsageMeter, retention: float, store: LimitStore) -> None:
        self._ledger = ledger
        self._meter = meter
        self.retention = retention
        self._store = store
        self._failing: set[str] = set()
        """What fails now."""
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the stores, and begins to flush. StartupError for what an operator can fix."""
        await self._ledger.start()
        await self._store.start()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Flushes for the last time. Safe without a start, and when called twice."""
        if self._task is not None:
            # Not cancelled at once: what is being written would be written again.
            self._stopping.set()
            self._meter.news.set()
            await asyncio.wait([self._task], timeout=STOP_TIMEOUT)
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        await self._store.stop()
        await self._ledger.stop()

    async def _run(self) -> None:
        forget_at = 0.0
        is_last = False
        while not is_last:
            await self._pause(self._stopping, MIN_INTERVAL)
            await self._pause(self._meter.news, INTERVAL - MIN_INTERVAL)
            # Before the flush: calls may end, and the service begin to stop, while that takes its time.
            is_last = self._stopping.is_set()
            self._meter.news.clear()
            await self._try("usage", self._meter.flush)
            await self._try("limits", self._store.maintain)
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + FORGET_INTERVAL
                await self._try("usage", self._forget)

    async def _pause(self, event: asyncio.Event, seconds: float) -> None:
        """Waits for an event, for some seconds at most."""
        if not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await event.wait()

    async def _forget(self) -> None:
        # A day is kept until its end is too old.
        await self._ledger.forget(utc_day(max(0.0, time.time() - self.retention - DAY)))

    async def _try(self, what: str, operation: Callable[[], Awaitable[None]]) -> None:
        """Says once that a store fails, and once that it works again."""
        try:
            await operation()
        except (UsageUnavailable, LimitStoreUnavailable) as error:
            if what not in self._failing:
                log.warning("accounting_fails", what=what, explanation=error.explanation)
            self._failing.add(what)
        else:
            if what in self._failing:
                log.info("accounting_works_again", what=what)
            self._failing.discard(what)
