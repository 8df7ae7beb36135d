"""The ledger: which once-only calls were begun, and what came of them. The port, and the one that forgets.

A call is *claimed* before its tool runs and *settled* after it, so that no second process runs it too and a
later call with the same id gets the first one's outcome.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from clawdbot_plugins.core.runs import Outcome


@dataclass(frozen=True, slots=True)
class CallId:
    """What makes a once-only call the same call. Tenants do not share request ids, nor do tools."""

    tenant: str
    tool: str
    request_id: str


class Claim(enum.Enum):
    """What a claim found, where it did not find an outcome."""

    GRANTED = enum.auto()
    """The caller may run the tool, and MUST settle, release or abandon the call afterwards."""
    ELSEWHERE = enum.auto()
    """Another living process is running it; ask again."""
    BROKEN_OFF = enum.auto()
    """It was begun and broken off; whether it did its work is not known."""
    OTHER_ARGUMENTS = enum.auto()
    """The id was used for other arguments."""


class LedgerUnavailable(Exception):
    """The ledger cannot be read or written now."""

    def __init__(self, explanation: str, retry_after: float = 1.0) -> None:
        self.explanation = explanation
        self.retry_after = retry_after
        super().__init__(explanation)


class Ledger(Protocol):
    """Remembers calls for a while. Safe to use from many tasks. Every method MAY raise LedgerUnavailable."""

    async def open(self) -> None:
        """Makes it usable. MUST raise StartupError for what an operator can mend."""

    async def claim(self, call: CallId, digest: bytes, *, again: bool) -> Claim | Outcome:
        """Claims the call for this process, or says why not. MUST be atomic between processes.

        Whoever asks knows that this process is not running the call itself: its own claim that is neither
        settled nor released was broken off. A call in another living process MUST be remembered until it
        ends.

        Args:
            call: which call.
            digest: of its arguments.
            again: whether a call that was broken off may be claimed anew.

        Returns:
            The first call's outcome, marked as replayed, or what else was found.
        """

    async def settle(self, call: CallId, outcome: Outcome) -> None:
        """Writes down what a claimed call came to; it MUST outlive whatever the ledger outlives."""

    async def release(self, call: CallId) -> None:
        """Forgets a claim whose tool never ran."""

    async def abandon(self, call: CallId) -> None:
        """Notes that a claimed call was broken off."""

    async def check(self) -> None:
        """Returns when the ledger answers."""

    async def close(self) -> None:
        """Frees everything. Safe twice, and after a failed open."""


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
