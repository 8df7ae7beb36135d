"""The load of the backends on this machine: this worker's own, and what the other workers report.

Each worker reports about twice a second. With its numbers a report says which changes of an operator the
worker had seen, so that who waits for a change to take effect everywhere knows when it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from typing import Final, Protocol

import structlog
from clawdbot.model_gateway.v1.model_admin_service_pb2 import Backend as BackendState
from clawdbot.model_gateway.v1.model_admin_service_pb2 import ListBackendsResponse
from clawdbot_servicekit import deadline

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.drains import DrainStore

log = structlog.get_logger(__name__)

POLL_INTERVAL: Final = 0.05
"""Seconds between two looks, while a call waits."""
SEEN: Final = Struct("=QQ")
"""At the start of a report: the version of the drains and the number of reloads that the worker has seen."""

SUMS: Final = (
    "requests_in_flight",
    "open_connections",
    "idle_connections",
    "waiting_for_connection",
    "requests",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_hits",
    "cost_micros",
)
"""The fields of a backend that are sums over the workers."""


class WorkerReports(Protocol):
    """Short reports that the workers of a machine write for each other."""

    def open(self) -> None:
        """Creates what is missing. StartupError where it cannot be used."""

    def close(self) -> None:
        """Takes back this worker's report. MUST be safe without an open, and when called twice."""

    def write(self, report: bytes) -> None:
        """Replaces this worker's report. OSError where it cannot be written."""

    def others(self) -> Iterator[bytes]:
        """The last report of every other worker that is alive; empty bytes where it has made none."""


class MachineLoad:
    """Sums the load of all workers.

    Args:
        backends: of this worker, by name.
        drains: the drained backends.
        reports: of all workers; None where this worker is the only one.
    """

    def __init__(
        self, backends: Mapping[str, Backend], drains: DrainStore, reports: WorkerReports | None
    ) -> None:
        self._backends = backends
        self._drains = drains
        self._reports = reports
        self._writable = True
        self.reloads = 0
        """Number of the last reload that this worker has done."""

    def report(self) -> None:
        """Tells the other workers this one's load. Called about twice a second."""
        if self._reports is None:
            return
        own = ListBackendsResponse(backends=[each.state for each in self._backends.values()])
        try:
            self._reports.write(SEEN.pack(self._drains.version, self.reloads) + own.SerializeToString())
        except OSError as error:
            if self._writable:
                log.warning("load_not_reported", error=error.strerror)
            self._writable = False
        else:
            self._writable = True

    def state(self, name: str) -> BackendState:
        """A backend with the load of all workers."""
        return self.states([name])[0]

    def states(self, names: list[str]) -> list[BackendState]:
        """Backends with the load of all workers, in the order of the names."""
        states = {name: self._backends[name].state for name in names}
        for _, _, others in self._others():
            for other in others:
                if other.name in states:
                    _add(states[other.name], other, shared=self._backends[other.name].shares_slots)
        return [*states.values()]

    async def until_idle(self, name: str) -> None:
        """Returns when no worker has a request for a drained backend, or shortly before the deadline.

        It returns at once when somebody has put the backend back meanwhile.
        """
        version = self._drains.version
        await self._until(lambda: name not in self._drains.names or not self._is_busy(name, version))

    async def until_reloaded(self, number: int) -> int:
        """Returns when every worker has done a reload, or shortly before the deadline.

        Returns:
            The number of workers that have not.
        """

        def pending() -> int:
            return sum(reloads < number for _, reloads, _ in self._others())

        await self._until(lambda: not pending())
        return pending()

    async def _until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(deadline.outgoing_timeout()):
                while not holds():  # noqa: ASYNC110 - other processes set no event
                    await asyncio.sleep(POLL_INTERVAL)
        except TimeoutError:
            return

    def _is_busy(self, name: str, version: int) -> bool:
        """Whether a worker has requests for the backend, or may have taken one before it saw the change."""
        if self._backends[name].in_flight:
            return True
        return any(
            seen < version or any(each.requests_in_flight for each in others if each.name == name)
            for seen, _, others in self._others()
        )

    def _others(self) -> Iterator[tuple[int, int, list[BackendState]]]:
        """The other workers' reports: the drains and reloads that they have seen, and their load."""
        for report in () if self._reports is None else self._reports.others():
            if len(report) < SEEN.size:
                yield 0, 0, []
            else:
                listed = ListBackendsResponse.FromString(report[SEEN.size :])
                yield *SEEN.unpack_from(report), [*listed.backends]


def _add(total: BackendState, other: BackendState, *, shared: bool) -> None:
    for field in SUMS:
        setattr(total, field, getattr(total, field) + getattr(other, field))
    # The states are in the order of how little they let through.
    total.breaker = max(total.breaker, other.breaker)
    if not shared:
        total.max_concurrency += other.max_concurrency
    waiting = {each.priority: each for each in total.queues}
    for queue in other.queues:
        if queue.priority in waiting:
            waiting[queue.priority].requests += queue.requests
