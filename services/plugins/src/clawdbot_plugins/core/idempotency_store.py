"""The idempotency store: which once-only calls were begun, and what came of them.

A call is *claimed* before its tool runs and *settled* after it, so that no second process runs it too and a
later call with the same id gets the first one's outcome.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from clawdbot_plugins.core.single_flight import Outcome


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
