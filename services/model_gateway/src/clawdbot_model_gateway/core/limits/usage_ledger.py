"""The port of the ledger of usage: what was used, added up by day, tenant, key and model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

COUNTS: Final = (
    "requests",
    "estimated_requests",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "cost_micros",
)
"""What is counted, in the order in which the counts of a key are written."""

Counts = Sequence[int]


class UsageKey(NamedTuple):
    """What usage is added up by; a field is empty where it is not added up by it."""

    day: str
    """In UTC: "2026-11-30"."""
    tenant: str
    key_id: str
    model: str
    """The target: "backend/model"."""


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What to add up. Days are inclusive; an empty tenant, key or model stands for all."""

    first_day: str
    last_day: str
    tenant: str = ""
    key_id: str = ""
    model: str = ""
    group_by: Collection[str] = UsageKey._fields
    """Names of fields of UsageKey; the others are empty in the result."""


class UsageUnavailable(Exception):
    """The ledger cannot be read or written now."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class UsageLedger(Protocol):
    """Adds up usage for good. Instances for the same place, also in other processes, share one ledger.

    If a process is killed, what it last gave as running is counted once, at most a minute later. While it
    lives, that is not counted: its calls are added when they end.
    """

    async def start(self) -> None:
        """Opens what it needs. MUST NOT wait for a server, and MUST NOT fail when that is down.

        Raises:
            StartupError: for what an operator can fix on this machine.
        """

    async def stop(self) -> None:
        """Releases everything. MUST be safe without a start, and when called twice."""

    async def add(
        self,
        batch: str,
        usage: Mapping[UsageKey, Counts],
        running: Mapping[UsageKey, Counts] | None = None,
    ) -> None:
        """Adds usage. A batch MUST count once, however often it is added after an error.

        Args:
            batch: identifies it; unique.
            usage: what calls have used that ended.
            running: what the calls of this process have used so far that did not, in place of what was said
                of them before, in the same step; None: that holds. While there are some it is given about
                once a second.

        Raises:
            UsageUnavailable: it may not have been added; add the same batch again.
        """

    async def totals(self, query: UsageQuery) -> Mapping[UsageKey, Counts]:
        """What the query asks for, added up.

        Raises:
            UsageUnavailable: it cannot be read.
        """

    async def forget(self, before: str) -> None:
        """Removes the days before this one.

        Raises:
            UsageUnavailable: they may still be there.
        """
