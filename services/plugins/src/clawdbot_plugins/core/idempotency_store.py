"""The port for remembering once-only calls by their idempotency key, and what became of them.

A call is *claimed* before its tool runs and *completed* afterwards, so that no second process runs it too and
a later call with the same key gets the first one's outcome.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from clawdbot_plugins.core.single_flight import ToolOutcome


@dataclass(frozen=True, slots=True)
class CallId:
    """The idempotency key of a call. Tenants do not share request ids, and neither do tools."""

    tenant: str
    tool: str
    request_id: str


class ClaimResult(enum.Enum):
    """The result of a claim that did not find an outcome."""

    GRANTED = enum.auto()
    """The caller may run the tool. It MUST call complete, release or mark_interrupted afterwards."""
    RUNNING_ELSEWHERE = enum.auto()
    """Another live process is running the call; poll again."""
    INTERRUPTED = enum.auto()
    """The call was started and interrupted; whether it had its effect is unknown."""
    ARGUMENTS_MISMATCH = enum.auto()
    """The request id was used with other arguments."""


class IdempotencyStoreUnavailable(Exception):
    """The store cannot be read or written at the moment."""

    def __init__(self, explanation: str, retry_after: float = 1.0) -> None:
        self.explanation = explanation
        self.retry_after = retry_after
        super().__init__(explanation)


class IdempotencyStore(Protocol):
    """Remembers calls for a limited time. Safe to use from many tasks.

    Every method, and awaiting what it returns, MAY raise IdempotencyStoreUnavailable.
    """

    async def open(self) -> None:
        """Opens the store. MUST raise StartupError for a problem that an operator can fix."""

    def claim(
        self, call: CallId, digest: bytes, *, allow_rerun: bool
    ) -> Awaitable[ClaimResult | ToolOutcome]:
        """Claims the call for this process, or says why it cannot. MUST be atomic between processes.

        The caller guarantees that this process is not running the call already. So an earlier claim of this
        process that was neither completed nor released means that the call was interrupted. A call of another
        live process MUST be remembered until it ends.

        Args:
            call: which call.
            digest: hash of its arguments.
            allow_rerun: whether an interrupted call may be claimed again.

        Returns:
            The first call's outcome, marked as replayed, or why there is none.
        """

    def complete(self, call: CallId, outcome: ToolOutcome) -> Awaitable[None]:
        """Stores the outcome of a claimed call. It MUST be as durable as the store itself."""

    def release(self, call: CallId) -> Awaitable[None]:
        """Deletes the claim of a call whose tool never ran."""

    def mark_interrupted(self, call: CallId) -> Awaitable[None]:
        """Records that a claimed call was interrupted."""

    async def check(self) -> None:
        """Returns if the store can be read and written now."""

    async def close(self) -> None:
        """Frees all resources. Safe to call twice, and after a failed open."""
