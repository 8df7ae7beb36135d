"""What the calls that run now have used so far, so that it is not lost with a process that is killed.

A call costs one entry when it begins and its removal when it ends. Once a second the calls that have run for
a while are looked at, for a short time only: of very many, each has its turn less often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from clawdbot_servicekit.caller import Caller

from clawdbot_model_gateway.core.attempts import RequestAttempts
from clawdbot_model_gateway.core.limits.usage_ledger import Counts, UsageKey

MIN_SECONDS: Final = 1.0
"""Age from which a call is looked at: a shorter one is soon in the ledger itself."""
LOOK_INTERVAL: Final = 0.9
"""Seconds between two looks: less than between flushes while no call ends, so that each of these has one."""
LOOK_TIME: Final = 0.01
"""Seconds that one look may take: the event loop waits for it."""

Table: TypeAlias = dict[UsageKey, list[int]]


class _Running:
    __slots__ = ("attempts", "caller", "so_far")

    def __init__(self, caller: Caller, attempts: RequestAttempts) -> None:
        self.caller = caller
        self.attempts = attempts
        self.so_far: Table = {}
        """What is in the sums of it."""


class RunningUsage:
    """The calls that run in this process.

    Args:
        count: what a call has used so far.
    """

    def __init__(self, count: Callable[[Caller, RequestAttempts], Table]) -> None:
        self._count = count
        self._calls: dict[RequestAttempts, _Running] = {}
        self._to_see: list[_Running] = []
        """Whose turn comes; the next one is the last."""
        self._look_at = 0.0
        self._sums: Table = {}
        self._changed = False
        """Whether the ledger has other sums."""
        self._ledger_has_none = True
        """Whether the ledger has no running usage of this process. It need not be told again then."""

    def begin(self, caller: Caller, attempts: RequestAttempts) -> None:
        """A call begins. It MUST end."""
        self._calls[attempts] = _Running(caller, attempts)

    def end(self, attempts: RequestAttempts) -> None:
        """A call has ended: it is counted as a whole now."""
        call = self._calls.pop(attempts)
        if call.so_far:
            self._add(call.so_far, -1)

    def take(self) -> Mapping[UsageKey, Counts] | None:
        """What the running calls have used so far, as far as they were looked at.

        None: nothing still, or what was said last. About once a second it is said again.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL
            self._changed = True
            self._look()
        if not self._changed or (not self._sums and self._ledger_has_none):
            return None
        self._changed, self._ledger_has_none = False, not self._sums
        return {key: (*counts,) for key, counts in self._sums.items()}

    def _look(self) -> None:
        if not self._to_see:
            self._to_see = [each for each in self._calls.values() if each.attempts.seconds >= MIN_SECONDS]
        stop_at = time.perf_counter() + LOOK_TIME
        while self._to_see and time.perf_counter() < stop_at:
            call = self._to_see.pop()
            if call.attempts in self._calls and call.attempts.made:
                self._add(call.so_far, -1)
                call.so_far = self._count(call.caller, call.attempts)
                self._add(call.so_far, 1)

    def _add(self, used: Table, sign: int) -> None:
        self._changed = True
        for key, counts in used.items():
            sums = self._sums.setdefault(key, [0] * len(counts))
            for place, count in enumerate(counts):
                sums[place] += sign * count
            if not any(sums):
                del self._sums[key]
