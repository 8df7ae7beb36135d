"""What is used and reserved of buckets, as far as this process knows: for a store that is too busy to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clawdbot_model_gateway.core.limits.limit_store import Charge, Full, Reservation, Verdict

MAX_BUCKETS: Final = 8192
"""Of more all are forgotten: a store that is busy was asked about those that matter a moment ago."""


class _Bucket:
    __slots__ = ("expected", "total")

    def __init__(self) -> None:
        self.total = 0
        """What the store said last, with what calls of this process have used and given back since."""
        self.expected = 0
        """What calls may have reserved to which the store has not answered yet."""


class BucketEstimates:
    """Of each bucket, the store's last word and what has happened here since."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def note(self, charges: Sequence[Charge], verdict: Verdict) -> None:
        """What the store said about charges."""
        if isinstance(verdict, Full):
            self._bucket(charges[verdict.place]).total = verdict.total
            return
        for charge, total in zip(charges, verdict.totals, strict=True):
            self._bucket(charge).total = total

    def settle(self, reservation: Reservation, used: Sequence[int]) -> None:
        """A reservation is replaced by what was used."""
        for charge, amount, spent in zip(reservation.charges, reservation.amounts, used, strict=True):
            bucket = self._buckets.get(charge.bucket)
            if bucket is not None:
                bucket.total += (spent if charge.ends else 0) - amount

    def have_room(self, charges: Sequence[Charge]) -> bool:
        """Whether all buckets have room for their charges."""
        for charge in charges:
            bucket = self._buckets.get(charge.bucket)
            total = 0 if bucket is None else bucket.total + bucket.expected
            if charge.limit - total < charge.least:
                return False
        return True

    def expect(self, charges: Sequence[Charge]) -> None:
        """A call goes on before the store has answered; `forget` it when it has."""
        for charge in charges:
            self._bucket(charge).expected += charge.amount

    def forget(self, charges: Sequence[Charge]) -> None:
        """The store has answered, or failed."""
        for charge in charges:
            bucket = self._buckets.get(charge.bucket)
            if bucket is not None:
                bucket.expected = max(0, bucket.expected - charge.amount)

    def _bucket(self, charge: Charge) -> _Bucket:
        bucket = self._buckets.get(charge.bucket)
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                self._buckets.clear()
            bucket = self._buckets[charge.bucket] = _Bucket()
        return bucket
