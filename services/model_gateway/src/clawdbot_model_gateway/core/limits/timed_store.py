"""Asks the store of limits in limited time.

A store that takes longer is busy. Calls that may go on all the same get what they reserve later. Those that
have no room by what the store said before wait until it has answered, or is down after all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from clawdbot_model_gateway.core.limits.bucket_estimates import BucketEstimates
from clawdbot_model_gateway.core.limits.limit_store import (
    Charge,
    LimitStore,
    LimitStoreUnavailable,
    Reservation,
    Verdict,
)

MAX_BUSY: Final = 3.0
"""Seconds without an answer after which a store is down, and not busy. Redis says so itself within two."""

Late: TypeAlias = Callable[[Reservation | None], None]
"""Gets what a call has reserved that began before; None: nothing, for want of room or of a store."""


class TimedStore:
    """A store, and what is known of it while it is busy.

    Args:
        store: counts.
    """

    def __init__(self, store: LimitStore) -> None:
        self._store = store
        self._estimates = BucketEstimates()
        self._late: asyncio.Future[Verdict] | None = None
        """What was not answered in time: until it is, nobody else waits for so long."""
        self._down_at = 0.0
        """When that has taken too long for a store that is busy (time.monotonic)."""

    async def reserve(self, charges: Sequence[Charge], seconds: float, late: Late | None) -> Verdict | None:
        """What the store says; None: it is busy, and the call may go on.

        A call that may go on waits for longer where it has no room by what is known.

        Args:
            charges: what to reserve.
            seconds: for which the store is waited for.
            late: called once, later, if the call goes on; None: no call goes on.

        Raises:
            LimitStoreUnavailable: it is down; or it is busy, and no call goes on.
        """
        patient = self._late is None or self._late.done()
        if late is None and not patient:
            raise _no_answer(seconds)
        asked = self._store.reserve(charges)
        if not isinstance(asked, asyncio.Future):
            return asked
        if not patient or not await self._is_answered(charges, asked, seconds):
            if patient:
                self._late, self._down_at = asked, time.monotonic() + MAX_BUSY
            if late is None:
                asked.add_done_callback(partial(self._answered_nobody, charges))
                raise _no_answer(seconds)
            # One that has never answered says nothing about its buckets.
            if (
                not self._store.answers
                or self._estimates.have_room(charges)
                or not await self._is_answered(charges, asked, self._down_at - time.monotonic())
            ):
                self._estimates.expect(charges)
                asked.add_done_callback(partial(self._answered_late, charges, late))
                return None
        verdict = asked.result()
        self._estimates.note(charges, verdict)
        return verdict

    async def _is_answered(
        self, charges: Sequence[Charge], asked: asyncio.Future[Verdict], seconds: float
    ) -> bool:
        """Whether the store answers, or fails, within so many seconds."""
        try:
            # A timer costs nothing beside a store that is asked over a network or in a thread.
            done, _ = await asyncio.wait([asked], timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            asked.add_done_callback(partial(self._answered_nobody, charges))
            raise
        return bool(done)

    def settle(self, reservation: Reservation, used: Sequence[int]) -> None:
        """Replaces a reservation by what was used; it is called once."""
        self._estimates.settle(reservation, used)
        self._store.settle(reservation, used)

    def give_back(self, reservation: Reservation) -> None:
        """Settles a reservation of which nothing is used."""
        self.settle(reservation, [0] * len(reservation.charges))

    def _answered_late(self, charges: Sequence[Charge], late: Late, asked: asyncio.Future[Verdict]) -> None:
        """The store has answered, or failed, about a call that went on."""
        self._estimates.forget(charges)
        late(self._reserved(charges, asked))

    def _answered_nobody(self, charges: Sequence[Charge], asked: asyncio.Future[Verdict]) -> None:
        """The same about a call that was cancelled or refused."""
        reservation = self._reserved(charges, asked)
        if reservation is not None:
            self.give_back(reservation)

    def _reserved(self, charges: Sequence[Charge], asked: asyncio.Future[Verdict]) -> Reservation | None:
        if asked.cancelled() or asked.exception() is not None:
            return None
        verdict = asked.result()
        self._estimates.note(charges, verdict)
        return verdict if isinstance(verdict, Reservation) else None


def _no_answer(seconds: float) -> LimitStoreUnavailable:
    return LimitStoreUnavailable(f"no answer within {seconds * 1000:g} ms")
