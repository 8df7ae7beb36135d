"""Gives a backend's slots to requests: at once while some are free, else in an order that is fair.

Priority classes come first, each with a share that it gets under any load; tenants take turns within a class
(fair_queue.py); a tenant's requests go in the order of their deadlines. What cannot be served is refused
early.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_BATCH,
    PRIORITY_INTERACTIVE,
    PRIORITY_STANDARD,
)

from clawdbot_model_gateway.core.errors import (
    BackendOverloaded,
    DeadlineUnreachable,
    QueueFull,
    QueueTimeout,
    RateLimited,
    Shed,
)
from clawdbot_model_gateway.core.scheduling.adaptive_limit import AdaptiveLimit
from clawdbot_model_gateway.core.scheduling.fair_queue import FairQueue, Waiter, WaiterState

CLASSES: Final[Mapping[int, str]] = {
    PRIORITY_INTERACTIVE: "interactive",
    PRIORITY_STANDARD: "standard",
    PRIORITY_BATCH: "batch",
}
"""Priority → its name, the most urgent first."""
NO_LIMIT: Final = sys.maxsize
"""The limit of a backend that takes any number of requests."""
MIN_TIMES: Final = 5
"""Typical requests that are necessary to estimate how long a request will wait."""
WEIGHT: Final = 0.1
"""Of the last request in the average time for which a slot is held."""
RETRY_AFTER_MIN: Final = 1.0
RETRY_AFTER_MAX: Final = 60.0
"""Seconds that a refused caller is told to wait, at least and at most."""
ONE: Final = 1 - 1e-9
"""What a class must be owed to go first: one slot, less what sums of shares are off by."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How requests wait for a backend."""

    size: int = 1000
    """Requests that wait at a time; 0: none does."""
    timeout: float = 300.0
    """Seconds that a request waits at most; its deadline may end the wait earlier."""
    shares: Mapping[int, float] = field(
        default_factory=lambda: {PRIORITY_INTERACTIVE: 0.6, PRIORITY_STANDARD: 0.3, PRIORITY_BATCH: 0.1}
    )
    """Of the slots that are given while several classes wait, and of the places in a full queue; their sum is
    at most 1. What is left goes to the most urgent class."""


class SharedSlots(Protocol):
    """The slots of a backend, shared by several processes."""

    def take(self, limit: int, waiting: int) -> bool:
        """Takes one of `limit` slots, if one is free and no process that waits has a better claim.

        A process that was refused has to ask again while requests wait in it, as nobody calls it.

        Args:
            limit: slots of all processes together.
            waiting: requests that wait in this process; 0 for one that has just arrived.
        """

    def give_back(self) -> None:
        """Frees one slot that this process has taken."""

    def stop_waiting(self) -> None:
        """No request waits in this process any more."""


class QueueObserver(Protocol):
    """Told how requests fared, for metrics."""

    def waited(self, priority: int, seconds: float) -> None:
        """A request that had to wait got a slot, or was refused after that."""

    def shed(self, priority: int, reason: str) -> None:
        """A request was refused."""

    def began(self, seconds: float) -> None:
        """A streamed reply had its first content so long after the request got its slot."""


class Scheduler:
    """The slots of one backend, and the requests that wait for them. One event loop uses it.

    Args:
        limit: requests that have a slot at the same time, fixed or adaptive.
        queue: how the others wait.
        clock: the time in seconds.
        shared: the slots of all processes, where the limit holds for several.
    """

    def __init__(
        self,
        limit: int | AdaptiveLimit,
        queue: QueueLimits,
        clock: Callable[[], float],
        shared: SharedSlots | None = None,
    ) -> None:
        self.adaptive = limit if isinstance(limit, AdaptiveLimit) else None
        self.limit = limit.value if isinstance(limit, AdaptiveLimit) else limit
        """Requests that have a slot at the same time, at present."""
        self.in_flight = 0
        """Requests that have a slot."""
        self.waiting = 0
        """Requests that wait for one."""
        self.shared = shared
        self.observer: QueueObserver | None = None
        self._queue = queue
        self._clock = clock
        self._classes: dict[int, FairQueue] = {priority: FairQueue() for priority in CLASSES}
        self._owed: dict[int, float] = dict.fromkeys(CLASSES, 0.0)
        """Slots that a class is owed, while it waits."""
        self._arrivals = 0
        self._times = 0
        self._held = 0.0
        """Seconds for which a slot is held, on average."""

    def enter(self) -> bool:
        """Takes a slot if one is free and nobody waits for it; else the caller has to `enqueue`."""
        if self.waiting or not self._take():
            return False
        self.in_flight += 1
        return True

    def enqueue(
        self, priority: int, tenant: str, tokens: int, deadline: float, wake: Callable[[Shed | None], None]
    ) -> Waiter:
        """Has a request wait. The caller calls `expire` at its `expires_at`, and `abandon` if it leaves.

        Args:
            priority: its class.
            tenant: whom it is for.
            tokens: its estimated cost.
            deadline: when a slot is of no use any more.
            wake: see Waiter.

        Raises:
            Shed: it is refused.
        """
        now = self._clock()
        queue = self._classes[priority]
        wait = self._expected_wait(priority, queue.ahead(tenant, deadline))
        if now + wait >= deadline and (gone_at := queue.all_gone_at(tenant, deadline)) is not None:
            # Not all that are before it will be served: what expires before its turn takes no slot.
            wait = min(wait, gone_at - now + self._expected_wait(priority, queue.tenants))
        if now + wait >= deadline:
            raise self._refused(priority, self._unreachable())
        if self.waiting >= self._queue.size:
            self._make_room(priority, tenant)
        self._arrivals += 1
        expires_at = min(deadline, now + self._queue.timeout)
        waiter = Waiter(self._arrivals, priority, tenant, max(1, tokens), now, deadline, expires_at, wake)
        queue.add(waiter)
        self.waiting += 1
        # Some processes' slots may have become free since the caller tried.
        self.dispatch()
        return waiter

    def leave(
        self,
        began_at: float,
        error: BaseException | None,
        first_content: float | None,
        *,
        is_typical: bool = True,
    ) -> None:
        """Frees a slot, and gives it to the next request.

        Args:
            began_at: when the request got it.
            error: how the request failed; None if it succeeded.
            first_content: seconds until its first content, where it has such a time.
            is_typical: whether the time for which the slot was held says how long others will be.
        """
        now = self._clock()
        if is_typical:
            self._times += 1
            self._held += max(WEIGHT, 1 / self._times) * (now - began_at - self._held)
        if first_content is not None and self.observer is not None:
            self.observer.began(first_content)
        if self.adaptive is not None:
            if error is None:
                full = self.waiting > 0 or self.in_flight >= self.limit
                self.adaptive.succeeded(began_at, now, first_content, full=full)
            elif isinstance(error, RateLimited | BackendOverloaded):
                self.adaptive.overloaded(began_at, now)
            self.limit = self.adaptive.value
        self._free()

    def abandon(self, waiter: Waiter) -> None:
        """The caller of a request left before it used its slot: it leaves the queue, or frees the slot."""
        if waiter.state is WaiterState.WAITING:
            self._remove(waiter)
        elif waiter.state is WaiterState.GRANTED:
            self._free()
        waiter.state = WaiterState.GONE

    def expire(self, waiter: Waiter) -> None:
        """The time of a request is over: it is refused if it still waits."""
        if waiter.state is WaiterState.WAITING:
            self._remove(waiter)
            self._shed(waiter, self._expired(waiter))

    def dispatch(self) -> None:
        """Gives free slots to the requests whose turn it is. To be called often where slots are shared."""
        while self.waiting and self._take():
            waiter = self._next()
            if waiter is None:
                self._give_back()
                continue
            self.in_flight += 1
            waiter.state = WaiterState.GRANTED
            if self.observer is not None:
                self.observer.waited(waiter.priority, self._clock() - waiter.since)
            waiter.wake(None)

    def waiting_in(self, priority: int) -> int:
        """How many requests of a class wait."""
        return len(self._classes[priority])

    def _take(self) -> bool:
        return self.in_flight < self.limit and (
            self.shared is None or self.shared.take(self.limit, self.waiting)
        )

    def _give_back(self) -> None:
        if self.shared is not None:
            self.shared.give_back()

    def _free(self) -> None:
        if not self.in_flight:
            raise AssertionError("a slot was freed twice")
        self.in_flight -= 1
        self._give_back()
        if self.waiting:
            self.dispatch()

    def _next(self) -> Waiter | None:
        """Removes the request whose turn it is; None where the time of the last one was over."""
        now = self._clock()
        while self.waiting:
            priority = self._next_class()
            waiter = self._classes[priority].pop()
            self._removed(priority)
            if waiter.expires_at > now:
                self._charge(priority)
                return waiter
            self._shed(waiter, self._expired(waiter))
        return None

    def _next_class(self) -> int:
        """The most urgent class that is owed a slot, else the most urgent one."""
        waiting = [each for each, queue in self._classes.items() if queue]
        return next((each for each in waiting if self._owed[each] >= ONE), waiting[0])

    def _charge(self, priority: int) -> None:
        """Notes that a class got a slot: the classes that wait on are owed their shares of it."""
        for each, queue in self._classes.items():
            if queue:
                self._owed[each] += self._queue.shares[each]
        self._owed[priority] = max(0.0, self._owed[priority] - 1)

    def _remove(self, waiter: Waiter) -> None:
        self._classes[waiter.priority].remove(waiter)
        self._removed(waiter.priority)

    def _removed(self, priority: int) -> None:
        self.waiting -= 1
        if not self._classes[priority]:
            self._owed[priority] = 0.0
        if not self.waiting and self.shared is not None:
            self.shared.stop_waiting()

    def _make_room(self, priority: int, tenant: str) -> None:
        """Refuses one that waits, in favour of a new request, or raises QueueFull.

        A class that has more than its share of the places gives way to more urgent ones, and to those that
        have less than theirs. Within a class the tenant with the most requests gives way.
        """
        places = {each: self._queue.shares[each] * self._queue.size for each in CLASSES}
        within_share = len(self._classes[priority]) < places[priority]
        for each in [*CLASSES][::-1]:
            queue = self._classes[each]
            if each != priority and len(queue) > places[each] and (within_share or each > priority):
                victim = queue.last_of_longest()
                break
        else:
            queue = self._classes[priority]
            victim = queue.last_of_longest(longer_than=queue.count(tenant) + 1)
        full = QueueFull(
            f"{self._queue.size} requests already wait for this backend", retry_after=self._retry_after()
        )
        if victim is None:
            raise self._refused(priority, full)
        self._remove(victim)
        self._shed(victim, full)

    def _expired(self, waiter: Waiter) -> Shed:
        if waiter.expires_at < waiter.deadline:
            return QueueTimeout(
                f"no slot was free within {self._queue.timeout:g} s", retry_after=self._retry_after()
            )
        return self._unreachable()

    def _unreachable(self) -> Shed:
        return DeadlineUnreachable(
            "no slot is free before the deadline of the call", retry_after=self._retry_after()
        )

    def _shed(self, waiter: Waiter, error: Shed) -> None:
        waiter.state = WaiterState.SHED
        if self.observer is not None:
            self.observer.waited(waiter.priority, self._clock() - waiter.since)
        waiter.wake(self._refused(waiter.priority, error))

    def _refused(self, priority: int, error: Shed) -> Shed:
        if self.observer is not None:
            self.observer.shed(priority, error.reason)
        return error

    def _expected_wait(self, priority: int, ahead: int) -> float:
        """Seconds until a request of the class gets a slot, if nobody else comes; 0 where little is known."""
        if self._times < MIN_TIMES:
            return 0.0
        higher = sum(len(queue) for each, queue in self._classes.items() if each < priority)
        share = self._queue.shares[priority]
        slots = ahead + 1
        needed = min(higher + slots, slots / share) if share else higher + slots
        # Those that have the slots are half-way through, on average.
        return (needed - 0.5) * self._held / self.limit

    def _retry_after(self) -> float:
        """Seconds until those that wait now have been served, about."""
        wait = self.waiting * self._held / self.limit
        return min(RETRY_AFTER_MAX, max(RETRY_AFTER_MIN, wait))
