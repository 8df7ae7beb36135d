"""The idempotency store in the memory of one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from typing_extensions import override

from clawdbot_plugins.core.idempotency_store import CallId, ClaimResult, IdempotencyStore
from clawdbot_plugins.core.single_flight import ToolOutcome


@dataclass(slots=True)
class _Entry:
    digest: bytes
    expires: float
    outcome: ToolOutcome | None = None
    running: bool = True


class InMemoryIdempotencyStore(IdempotencyStore):
    """For one process, and only until it ends. Bounded: the oldest calls are evicted first."""

    def __init__(self, *, retention: float, capacity: int, clock: Callable[[], float]) -> None:
        """An empty store.

        Args:
            retention: seconds for which a call is remembered.
            capacity: maximum number of calls.
            clock: seconds since 1970.
        """
        self._retention = retention
        self._capacity = capacity
        self._clock = clock
        # Insertion order is the order of expiry.
        self._entries: OrderedDict[CallId, _Entry] = OrderedDict()

    @override
    async def open(self) -> None: ...

    @override
    async def claim(self, call: CallId, digest: bytes, *, allow_rerun: bool) -> ClaimResult | ToolOutcome:
        self._evict()
        entry = self._entries.get(call)
        if entry is not None:
            if entry.digest != digest:
                return ClaimResult.ARGUMENTS_MISMATCH
            if entry.outcome is not None:
                return replace(entry.outcome, replayed=True)
            if not allow_rerun:
                return ClaimResult.INTERRUPTED
            del self._entries[call]
        self._entries[call] = _Entry(digest, self._clock() + self._retention)
        return ClaimResult.GRANTED

    @override
    async def complete(self, call: CallId, outcome: ToolOutcome) -> None:
        self._entries[call].outcome = outcome
        self._entries[call].running = False

    @override
    async def release(self, call: CallId) -> None:
        self._entries.pop(call, None)

    @override
    async def mark_interrupted(self, call: CallId) -> None:
        self._entries[call].running = False

    @override
    async def check(self) -> None: ...

    @override
    async def close(self) -> None: ...

    def _evict(self) -> None:
        now = self._clock()
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if oldest.running or (oldest.expires > now and len(self._entries) < self._capacity):
                return
            self._entries.popitem(last=False)
