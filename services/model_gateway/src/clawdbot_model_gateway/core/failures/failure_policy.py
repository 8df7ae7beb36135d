"""What the gateway does about one backend that is slow or fails: how long it waits, how often it asks again.

A request is sent again to the same backend only if that has certainly not worked on it. Budgets keep retries
and hedges to a share of the requests, so that they do not keep down what is down.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from clawdbot_model_gateway.core.errors import ModelError

MIN_PER_SECOND: Final = 0.1
"""Retries that a budget allows in any case, so that a backend with few requests has some."""
MAX_SAVED: Final = 10.0
"""Retries that can be saved up."""
TIMES: Final = 200
"""Of the last requests, from which the usual time to the first content is known."""
MIN_TIMES: Final = 20
"""Of these, until it is known."""
USUAL: Final = 0.95
"""The quantile."""


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


@dataclass(frozen=True, slots=True)
class HedgeRule:
    """When another target is asked beside this backend."""

    after: float | None = None
    """Seconds without content; None: as long as 95 of 100 requests take."""
    budget: float = 0.05
    """Hedges for each request, over all requests."""


class FailureObserver(Protocol):
    """Told what is done about failures, for metrics."""

    def retried(self) -> None:
        """A request is sent again."""

    def hedged(self) -> None:
        """Another target is asked as well."""

    def budget_spent(self) -> None:
        """A request is not sent a second time, since too many were."""


class Budget:
    """Second tries that are allowed: a share of the requests, and a few in any case.

    Args:
        share: for each request.
        clock: monotonic seconds.
    """

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self._share = share
        self._clock = clock
        self._saved = MAX_SAVED
        self._saved_at = clock()

    def count_request(self) -> None:
        """Adds a request's share."""
        self._saved = min(MAX_SAVED, self._saved + self._share)

    def spend(self) -> bool:
        """Takes one; False where none is left."""
        now = self._clock()
        self._saved = min(MAX_SAVED, self._saved + (now - self._saved_at) * MIN_PER_SECOND)
        self._saved_at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class FailurePolicy:
    """The policy for one backend.

    Args:
        first_content_timeout: seconds until the first content of a reply; None: no limit of its own.
        retry: how often it is asked again.
        hedge: when another target is asked as well; None: never.
        clock: monotonic seconds.
        draw: uniform numbers in [0, 1), for the time before a retry.
    """

    def __init__(
        self,
        first_content_timeout: float | None = None,
        retry: RetryRule | None = None,
        hedge: HedgeRule | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.first_content_timeout = first_content_timeout
        self.observer: FailureObserver | None = None
        self._retry = retry or RetryRule()
        self._hedge = hedge
        self._draw = draw
        self._retries = Budget(self._retry.budget, clock)
        self._hedges = None if hedge is None else Budget(hedge.budget, clock)
        self._times: deque[float] = deque(maxlen=TIMES)

    def count_request(self) -> None:
        """Adds a request's share to the budgets."""
        if self._retry.attempts:
            self._retries.count_request()
        if self._hedges is not None:
            self._hedges.count_request()

    def saw_first_content(self, seconds: float) -> None:
        """Notes how long a request took until its first content."""
        if self._hedge is not None and self._hedge.after is None:
            self._times.append(seconds)

    def delay(self, error: ModelError, retries: int) -> float | None:
        """Seconds after which the backend may be asked again; None: it may not.

        Full jitter (Brooker 2015, "Exponential Backoff and Jitter"): a uniform draw from a range that
        doubles, so that requests that failed together do not come back together.

        Args:
            error: what came of the last try.
            retries: how often it was asked again so far.
        """
        rule = self._retry
        unsure = error.worked_on or not error.may_resend
        if retries >= rule.attempts or unsure or not error.transient:
            return None
        return (error.stated_wait or 0.0) + self._draw() * min(rule.max, rule.base * 2.0**retries)

    @property
    def hedge_delay(self) -> float | None:
        """Seconds without content after which another target is asked as well; None: none is."""
        if self._hedge is None or self._hedge.after is not None:
            return None if self._hedge is None else self._hedge.after
        if len(self._times) < MIN_TIMES:
            return None
        return sorted(self._times)[int(len(self._times) * USUAL)]

    def spend_retry(self) -> bool:
        """Takes a retry from the budget; False where none is left."""
        allowed = self._retries.spend()
        if self.observer is not None:
            (self.observer.retried if allowed else self.observer.budget_spent)()
        return allowed

    def spend_hedge(self) -> bool:
        """Takes a hedge from the budget; False where none is left."""
        allowed = self._hedges is not None and self._hedges.spend()
        if self.observer is not None:
            (self.observer.hedged if allowed else self.observer.budget_spent)()
        return allowed
