"""Runs what limits and usage need in the background, once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from clawdbot_model_gateway.core.limits.usage_ledger import UsageLedger, UsageUnavailable
from clawdbot_model_gateway.core.limits.usage_meter import DAY, UsageMeter, utc_day

log = structlog.get_logger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two flushes: what a process that is killed loses at most."""
FORGET_INTERVAL: Final = 3600.0
"""Seconds between two removals of old days."""
STOP_TIMEOUT: Final = 5.0
"""Seconds that the last flush may take."""


class Accounting:
    """Starts and stops the ledger, and flushes what was counted.

    Args:
        ledger: of usage.
        meter: counts it.
        retention: seconds for which usage is kept.
    """

    def __init__(self, ledger: UsageLedger, meter: UsageMeter, retention: float) -> None:
        self._ledger = ledger
        self._meter = meter
        self._retention = retention
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the ledger, and begins to flush. StartupError for what an operator can fix."""
        await self._ledger.start()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Flushes for the last time. Safe without a start, and when called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self._try(self._meter.flush)
        await self._ledger.stop()

    async def _run(self) -> None:
        forget_at = 0.0
        while True:
            await asyncio.sleep(INTERVAL)
            await self._try(self._meter.flush)
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + FORGET_INTERVAL
                await self._try(self._forget)

    async def _forget(self) -> None:
        # A day is kept until its end is too old.
        await self._ledger.forget(utc_day(max(0.0, time.time() - self._retention - DAY)))

    async def _try(self, operation: Callable[[], Awaitable[None]]) -> None:
        """Says once that the ledger fails, and once that it works again."""
        try:
            await operation()
        except UsageUnavailable as error:
            if not self._failing:
                log.warning("usage_not_written", explanation=error.explanation)
            self._failing = True
        else:
            if self._failing:
                log.info("usage_written_again")
            self._failing = False
