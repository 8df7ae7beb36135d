"""How long a backend takes to answer, as far as one can tell now.

The estimate jumps to each time that is longer, and falls with time: slowness shows at once, and is forgotten
unless it is seen again. It is the one of Finagle (com.twitter.finagle.loadbalancer.PeakEwma).
"""

from __future__ import annotations

import math
from typing import Final

from clawdbot_model_gateway.core.errors import BackendAuth, QuotaExhausted, RateLimited
from clawdbot_model_gateway.core.failures import circuit_breaker

DECAY: Final = 10.0
"""Seconds after which the estimate has fallen to 1/e of what it was."""
FAILURE_SECONDS: Final = 5.0
"""What an error counts as at least: errors come quickly, and must not attract requests."""
FAILURES: Final = (*circuit_breaker.FAILURES, BackendAuth, QuotaExhausted, RateLimited)
"""Errors after which the next request had better go elsewhere."""


class PeakEwma:
    """The estimate for one backend. Times are in seconds."""

    __slots__ = ("_at", "_seconds")

    def __init__(self) -> None:
        self._seconds = self._at = 0.0

    def at(self, now: float) -> float:
        """The estimate; 0 before the first answer."""
        return self._seconds * math.exp(min(0.0, (self._at - now) / DECAY))

    def answered(self, seconds: float, now: float) -> None:
        """The backend has answered: with the first content, or with the whole reply if that came at once."""
        kept = math.exp(min(0.0, (self._at - now) / DECAY))
        self._seconds = max(seconds, self._seconds * kept + seconds * (1 - kept))
        self._at = now

    def failed(self, error: BaseException, seconds: float, now: float) -> None:
        """A request has failed, or its caller has left before any content."""
        if isinstance(error, FAILURES):
            seconds = max(seconds, FAILURE_SECONDS)
        if seconds > self.at(now):
            self._seconds, self._at = seconds, now
