"""Counts what calls have used, in memory, and writes it to the ledger in the background.

A call costs a few additions. A process that is killed loses what was not flushed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_REPORTED, USAGE_PROVENANCE_UNSPECIFIED
from clawdbot_servicekit.caller import Caller

from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.limits.metrics import LimitMetrics
from clawdbot_model_gateway.core.limits.running_usage import RunningUsage, Table
from clawdbot_model_gateway.core.limits.usage_ledger import COUNTS, Counts, UsageKey, UsageLedger

MAX_KEYS: Final = 10_000
"""Keys that are counted at the same time; of more, only the backend is told apart."""
MAX_MODEL_CHARACTERS: Final = 256
"""Of a target's name; callers choose it where a backend lists no models."""
DAY: Final = 86_400
SPENT: Final = tuple(enumerate(COUNTS))[2:]
"""Places and names of the counts that are fields of a usage."""


def utc_day(seconds: float) -> str:
    """The day of a time since 1970, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


class UsageMeter:
    """Counts usage.

    Args:
        ledger: where it is added up.
        metrics: of tokens and cost.
        clock: seconds since 1970.
    """

    def __init__(
        self, ledger: UsageLedger, metrics: LimitMetrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._counted: Table = {}
        self._running = RunningUsage(self._so_far)
        self.news = asyncio.Event()
        """Set when a call has ended; to be cleared before a flush."""
        self._batch: Table = {}
        """What is being written; again, under the same name, after an error."""
        self._batch_running: Mapping[UsageKey, Counts] | None = None
        """What running calls had used at that time."""
        self._batch_name = ""
        """Empty while nothing is being written."""
        self._flushing = asyncio.Lock()
        self._day_number = -1
        self._day = ""

    def begin(self, caller: Caller, attempts: RequestAttempts) -> None:
        """A call begins; `end` it."""
        self._running.begin(caller, attempts)

    def end(self, caller: Caller, attempts: RequestAttempts, *, counts: bool = True) -> None:
        """Counts a call that has ended: the call once, and what each of its attempts used.

        Args:
            caller: whose call it was.
            attempts: of the call.
            counts: False: it was refused, and is not counted at all.
        """
        self._running.end(attempts)
        self.news.set()
        if counts:
            self._add(self._counted, caller, attempts)

    async def flush(self) -> None:
        """Writes what was counted.

        Raises:
            UsageUnavailable: it could not be written; the next flush tries again.
        """
        async with self._flushing:
            if self._batch_name:
                await self._write()
            running = self._running.take()
            if not self._counted and running is None:
                return
            self._batch, self._counted = self._counted, {}
            self._batch_running = running
            self._batch_name = secrets.token_hex(8)
            self._metrics.count_usage(self._batch)
            await self._write()

    async def _write(self) -> None:
        await self._ledger.add(self._batch_name, self._batch, self._batch_running)
        self._batch_name = ""

    def _so_far(self, caller: Caller, attempts: RequestAttempts) -> Table:
        """What a call would have used if it was broken off now."""
        used: Table = {}
        self._add(used, caller, attempts)
        return used

    def _add(self, table: Table, caller: Caller, attempts: RequestAttempts) -> None:
        last = attempts.last
        for attempt in attempts.made:
            used = attempt.cost
            spent = used.provenance != USAGE_PROVENANCE_UNSPECIFIED
            if attempt is not last and not spent:
                continue
            counts = self._counts(table, caller, attempt.target_name, attempt.target.backend)
            counts[0] += attempt is last
            if spent:
                counts[1] += attempt is last and attempts.usage.provenance != USAGE_PROVENANCE_REPORTED
                for place, name in SPENT:
                    counts[place] += getattr(used, name)

    def _counts(self, table: Table, caller: Caller, model: str, backend: str) -> list[int]:
        now = self._clock()
        if now // DAY != self._day_number:
            self._day_number, self._day = int(now // DAY), utc_day(now)
        key = UsageKey(self._day, caller.tenant, caller.key_id, model[:MAX_MODEL_CHARACTERS])
        counts = table.get(key)
        if counts is None:
            if len(table) >= MAX_KEYS:
                key = key._replace(model=backend)
            counts = table.setdefault(key, [0] * len(COUNTS))
        return counts
