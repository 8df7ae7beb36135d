"""What the gateway does about one backend that is slow or fails: how long it waits, how often it asks again.

A request is sent again to the same backend only if that has certainly not worked on it. A budget keeps the
retries of all requests together to a share of the requests, so that they do not keep down what is down.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from clawdbot_model_gateway.core.errors import ModelError

MIN_PER_SECOND: Final = 0.1
"""Retries that the budget allows in any case, so that a backend with few requests has some."""
MOST_SAVED: Final = 10.0
"""Retries that can be saved up."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often, and after which time, a backend is asked again."""

    attempts: int = 0
    """Retries of one request; 0: none."""
    base: float = 0.5
    """Seconds: the longest wait before the first retry. It doubles with each one."""
    max: float = 8.0
    """Seconds: the longest wait, where the backend does not ask for a longer one."""
    budget: float = 0.1
    """Retries for each request, over all requests."""


class FailureObserver(Protocol):
    """Told what is done about failures, for metrics."""

    def retried(self) -> None:
        """A request is sent again."""

    def budget_spent(self) -> None:
        """A request is not sent again, since too many were."""


class FailurePolicy:
    """The policy for one backend.

    Args:
        first_content_timeout: seconds until the first content of a reply; None: no limit of its own.
        retry: how often it is asked again.
        clock: monotonic seconds.
        draw: uniform numbers in [0, 1), for the time before a retry.
    """

    def __init__(
        self,
        first_content_timeout: float | None = None,
        retry: RetryRule | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.first_content_timeout = first_content_timeout
        self.observer: FailureObserver | None = None
        self._retry = retry or RetryRule()
        self._clock = clock
        self._draw = draw
        self._saved = MOST_SAVED
        """Retries that the budget allows now."""
        self._saved_at = clock()

    def count_request(self) -> None:
        """Adds a request's share to the budget."""
        if self._retry.attempts:
            self._saved = min(MOST_SAVED, self._saved + self._retry.budget)

    def delay(self, error: ModelError, retries: int) -> float | None:
        """Seconds after which the backend may be asked again; None: it may not.

        Full jitter (Brooker 2015, "Exponential Backoff and Jitter"): a uniform draw from a range that
        doubles, so that requests that failed together do not come back together.

        Args:
            error: what came of the last try.
            retries: how often it was asked again so far.
        """
        rule = self._retry
        if retries >= rule.attempts or not (error.transient and error.may_resend):
            return None
        return (error.stated_wait or 0.0) + self._draw() * min(rule.max, rule.base * 2.0**retries)

    def spend_retry(self) -> bool:
        """Takes a retry from the budget; False where none is left."""
        now = self._clock()
        self._saved = min(MOST_SAVED, self._saved + (now - self._saved_at) * MIN_PER_SECOND)
        self._saved_at = now
        if self._saved < 1:
            if self.observer is not None:
                self.observer.budget_spent()
            return False
        self._saved -= 1
        if self.observer is not None:
            self.observer.retried()
        return True
