"""Once-only calls in the memory of one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from clawdbot_plugins.core.idempotency_store import CallId, Claim
from clawdbot_plugins.core.single_flight import Outcome


@dataclass(slots=True)
class _Entry:
    digest: bytes
    expires: float
    outcome: Outcome | None = None
    running: bool = True


class InMemoryLedger:
    """For one process, and only until it ends. Bounded: the oldest calls are forgotten first."""

    def __init__(self, *, remember: float, capacity: int, clock: Callable[[], float]) -> None:
        """An empty ledger.

        Args:
            remember: seconds for which a call is remembered.
            capacity: calls at most.
            clock: seconds since 1970.
        """
        self._remember = remember
        self._capacity = capacity
        self._clock = clock
        # Insertion order is the order of expiry.
        self._entries: OrderedDict[CallId, _Entry] = OrderedDict()

    async def open(self) -> None:
        """Memory is open."""

    async def claim(self, call: CallId, digest: bytes, *, again: bool) -> Claim | Outcome:
        """As the port says."""
        self._forget()
        found = self._entries.get(call)
        if found is not None:
            if found.digest != digest:
                return Claim.OTHER_ARGUMENTS
            if found.outcome is not None:
                return replace(found.outcome, replayed=True)
            if not again:
                return Claim.BROKEN_OFF
            del self._entries[call]
        self._entries[call] = _Entry(digest, self._clock() + self._remember)
        return Claim.GRANTED

    async def settle(self, call: CallId, outcome: Outcome) -> None:
        """As the port says."""
        self._entries[call].outcome = outcome
        self._entries[call].running = False

    async def release(self, call: CallId) -> None:
        """As the port says."""
        self._entries.pop(call, None)

    async def abandon(self, call: CallId) -> None:
        """As the port says."""
        self._entries[call].running = False

    async def check(self) -> None:
        """Memory answers."""

    async def close(self) -> None:
        """Nothing to free."""

    def _forget(self) -> None:
        now = self._clock()
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if oldest.running or (oldest.expires > now and len(self._entries) < self._capacity):
                return
            self._entries.popitem(last=False)
