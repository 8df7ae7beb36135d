"""A discrete-event simulation around the gateway's scheduler: its class is real, time and backend are not."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_STANDARD
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.scheduling.adaptive_limit import AdaptiveLimit
from clawdbot_model_gateway.core.scheduling.fair_queue import Waiter
from clawdbot_model_gateway.core.scheduling.scheduler import QueueLimits, Scheduler


@dataclass(eq=False)
class Job:
    """A request, and what became of it."""

    tenant: str = "t"
    priority: int = PRIORITY_STANDARD
    tokens: int = 100
    seconds: float = 1.0
    """For which it keeps its slot."""
    deadline: float = math.inf
    """An absolute time."""
    arrived: float = 0.0
    began: float | None = None
    ended: float | None = None
    """When its slot was free again, when it was refused, or when its caller left."""
    outcome: str = ""
    """"served", "cancelled" or the reason of the refusal; empty while it is in the queue or has a slot."""
    waiter: Waiter | None = None

    @property
    def waited(self) -> float:
        """Seconds until it got its slot."""
        assert self.began is not None
        return self.began - self.arrived


class Simulation:
    """A backend that keeps each request for as long as the request says."""

    def __init__(self, limit: int | AdaptiveLimit, queue: QueueLimits | None = None) -> None:
        self.now = 0.0
        self.jobs: list[Job] = []
        self.scheduler = Scheduler(limit, queue or QueueLimits(), lambda: self.now)
        self.busiest = 0
        """The most requests that had a slot at a time."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._on_end: Callable[[Job], None] = lambda job: None

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Has something happen."""
        heapq.heappush(self._events, (time, next(self._numbers), action))

    def arrive(self, time: float, job: Job) -> Job:
        """Has a request arrive."""
        self.at(time, lambda: self._arrive(job))
        self.jobs.append(job)
        return job

    def leave(self, time: float, job: Job) -> None:
        """Has the caller of a request leave."""
        self.at(time, lambda: self._cancel(job))

    def repeat(self, job: Callable[[], Job], callers: int) -> None:
        """Callers that each send their next request when their last one has ended."""
        before = self._on_end
        mine: set[Job] = set()

        def send() -> None:
            fresh = job()
            mine.add(fresh)
            self.arrive(self.now, fresh)

        def ended(one: Job) -> None:
            before(one)
            if one in mine:
                mine.discard(one)
                send()

        self._on_end = ended
        for _ in range(callers):
            send()

    def run(self, until: float = math.inf) -> Sequence[Job]:
        """Lets time pass; returns all requests so far."""
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
            self.busiest = max(self.busiest, self.scheduler.in_flight)
            # Nothing is lost: nobody waits beside a free slot.
            assert not self.scheduler.waiting or self.scheduler.in_flight >= self.scheduler.limit
        return self.jobs

    def _arrive(self, job: Job) -> None:
        job.arrived = self.now
        if self.scheduler.enter():
            self._begin(job)
            return

        def wake(error: ModelError | None) -> None:
            assert not job.outcome, "woken twice"
            assert job.began is None, "woken twice"
            if error is None:
                self._begin(job)
            else:
                self._end(job, error.reason)

        try:
            waiter = self.scheduler.enqueue(job.priority, job.tenant, job.tokens, job.deadline, wake)
        except ModelError as error:
            self._end(job, error.reason)
            return
        job.waiter = waiter
        self.at(waiter.expires_at, lambda: self.scheduler.expire(waiter))

    def _begin(self, job: Job) -> None:
        assert self.scheduler.in_flight <= self.scheduler.limit
        job.began = self.now
        self.at(self.now + job.seconds, lambda: self._finish(job))

    def _finish(self, job: Job) -> None:
        if not job.outcome:
            self._end(job, "served")
            self.scheduler.leave(job.began, None, None)

    def _cancel(self, job: Job) -> None:
        if job.outcome:
            return
        self._end(job, "cancelled")
        if job.began is None:
            self.scheduler.abandon(job.waiter)
        else:
            self.scheduler.leave(job.began, None, None)

    def _end(self, job: Job, outcome: str) -> None:
        job.outcome, job.ended = outcome, self.now
        self._on_end(job)


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 where all are equal, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(each * each for each in shares))
