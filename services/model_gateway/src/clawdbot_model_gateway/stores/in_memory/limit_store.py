"""Limits of one process, in its memory: nothing waits for them.

What running calls have reserved is saved with what was used, so that it counts after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from typing_extensions import override

from clawdbot_model_gateway.core.limits.limit_store import (
    Charge,
    Full,
    LimitStore,
    LimitStoreUnavailable,
    Reservation,
    Saved,
    SavedCounters,
    Verdict,
)

CLEAN_INTERVAL: Final = 60.0
"""Seconds between two removals of buckets that have ended."""


class _Bucket:
    __slots__ = ("ends", "reserved", "saved", "unsaved", "used")

    def __init__(self, used: int, ends: float) -> None:
        self.used = used
        self.reserved = self.saved = 0
        self.unsaved = 0
        self.ends = ends


class InMemoryLimitStore(LimitStore):
    """Counts in a dict. What was used is saved once a second and at the end.

    Args:
        saved: keeps it across restarts; None: nothing does.
        clock: seconds since 1970.
    """

    def __init__(self, saved: SavedCounters | None = None, clock: Callable[[], float] = time.time) -> None:
        self._saved = saved
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._clean_at = 0.0

    @property
    @override
    def answers(self) -> bool:
        return True

    @override
    async def start(self) -> None:
        if self._saved is not None:
            await self._saved.start()
            for bucket, (used, ends) in (await self._saved.load()).items():
                self._buckets[bucket] = _Bucket(used, ends)

    @override
    async def stop(self) -> None:
        if self._saved is not None:
            # Otherwise the next process begins with what was saved before.
            with suppress(LimitStoreUnavailable):
                await self.maintain()
            await self._saved.stop()

    @override
    async def maintain(self) -> None:
        if self._saved is not None:
            changed = {
                name: Saved(bucket.unsaved, bucket.reserved, bucket.ends)
                for name, bucket in self._buckets.items()
                if bucket.ends and (bucket.unsaved or bucket.reserved != bucket.saved)
            }
            if changed:
                await self._saved.save(changed)
                for name, saved in changed.items():
                    self._buckets[name].unsaved -= saved.used
                    self._buckets[name].saved = saved.reserved
        now = self._clock()
        if now >= self._clean_at:
            self._clean_at = now + CLEAN_INTERVAL
            ended = [
                name
                for name, each in self._buckets.items()
                if each.ends <= now and not each.reserved and not each.saved
            ]
            for name in ended:
                del self._buckets[name]

    @override
    def reserve(self, charges: Sequence[Charge]) -> Verdict:
        amounts, totals = [], []
        for place, charge in enumerate(charges):
            bucket = self._buckets.get(charge.bucket)
            used, reserved = (bucket.used, bucket.reserved) if bucket is not None else (0, 0)
            total = used + reserved
            room = charge.limit - total
            if room < charge.least:
                return Full(place, total, used)
            amounts.append(min(charge.amount, room))
            totals.append(total + amounts[-1])
        for charge, amount in zip(charges, amounts, strict=True):
            self._bucket(charge).reserved += amount
        return Reservation(charges, amounts, totals)

    @override
    def settle(self, reservation: Reservation, used: Sequence[int]) -> None:
        for charge, amount, spent in zip(reservation.charges, reservation.amounts, used, strict=True):
            bucket = self._bucket(charge)
            bucket.reserved -= amount
            if charge.ends:
                bucket.used += spent
                bucket.unsaved += spent
            elif not bucket.reserved:
                del self._buckets[charge.bucket]

    def _bucket(self, charge: Charge) -> _Bucket:
        bucket = self._buckets.get(charge.bucket)
        if bucket is None:
            bucket = self._buckets[charge.bucket] = _Bucket(0, charge.ends)
        return bucket
