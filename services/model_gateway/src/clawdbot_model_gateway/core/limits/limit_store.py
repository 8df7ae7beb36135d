"""The port of the store of limits: buckets that count what was used, and what running calls have reserved."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call wants of one bucket."""

    bucket: str
    """Names what is limited, whose, and in which window."""
    limit: int
    amount: int
    """As much as this is reserved, where there is room."""
    least: int
    """The call needs this much; at least 1."""
    ends: float = 0.0
    """When nobody needs the bucket any more, in seconds since 1970; 0: only reservations count in it."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a call has got of its buckets, until it is settled."""

    charges: Sequence[Charge]
    amounts: Sequence[int]
    """What was reserved of each."""
    totals: Sequence[int]
    """What is used and reserved of each, this reservation included."""
    owner: str = ""
    """The store's own."""


@dataclass(frozen=True, slots=True)
class Full:
    """A bucket has no room, and nothing was reserved."""

    place: int
    """Of its charge."""
    total: int
    """What is used and reserved of it."""
    used: int
    """What is used of it: the rest is given back when running calls end."""


Verdict: TypeAlias = Reservation | Full


class LimitStoreUnavailable(Exception):
    """The store cannot be reached now; nothing was reserved, or it will be given back."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class LimitStore(Protocol):
    """Counts exactly, also between processes: used and reserved together are never above the limit.

    Only what a call has used beyond its reservation may come on top. What was used MUST outlive a restart of
    one process. Within a minute after a process was killed, what it had reserved MUST count as used, since
    nobody knows what its calls have come to; and be free in buckets that have no end.
    """

    @property
    def answers(self) -> bool:
        """Whether it worked when it was last heard of. If it keeps calls waiting now, it is busy."""

    async def start(self) -> None:
        """Opens what it needs. MUST NOT wait for a server, and MUST NOT fail when that is down.

        Raises:
            StartupError: for what an operator can fix on this machine.
        """

    async def stop(self) -> None:
        """Writes what is not written. MUST be safe without a start, and when called twice."""

    async def maintain(self) -> None:
        """Called at least about once a second, and soon after a call has ended.

        Raises:
            LimitStoreUnavailable: it cannot be reached.
        """

    def reserve(self, charges: Sequence[Charge]) -> Verdict | asyncio.Future[Verdict]:
        """Reserves all charges or none, at once or later.

        Settlements that this process made before MUST count. The future raises LimitStoreUnavailable. Who
        stops waiting for it MUST settle what it reserves all the same.

        Raises:
            LimitStoreUnavailable: the store is known to be down.
        """

    def settle(self, reservation: Reservation, used: Sequence[int]) -> None:
        """Replaces a reservation by what was used. MUST neither wait nor raise, and is called once.

        Args:
            reservation: of this store, or one of nothing.
            used: of each of its charges.
        """


class Saved(NamedTuple):
    """What is saved of a bucket."""

    used: int
    """What was used since it was saved last."""
    reserved: int
    """What running calls have reserved now."""
    ends: float


class SavedCounters(Protocol):
    """Keeps what was used across restarts, for a store that only has it in memory."""

    async def start(self) -> None:
        """Opens what it needs. StartupError for what an operator can fix."""

    async def stop(self) -> None:
        """Forgets what is reserved, and releases everything. MUST be safe without a start, and twice."""

    async def load(self) -> Mapping[str, tuple[int, float]]:
        """Bucket → what was used, and when the bucket ends; only buckets that have not ended.

        What a process had reserved that was killed counts as used.
        """

    async def save(self, counters: Mapping[str, Saved]) -> None:
        """Adds what was used, and replaces what is reserved.

        Raises:
            LimitStoreUnavailable: nothing was saved.
        """
