"""Prometheus metrics of the backends: what is sent, what waits, what is refused, and how soon they answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector
from typing_extensions import override

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.failures.failure_policy import FailureObserver
from clawdbot_model_gateway.core.scheduling.scheduler import CLASSES, NO_LIMIT, QueueObserver

WAIT_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds."""
FIRST_CONTENT_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds."""


class BackendMetrics:
    """The metrics of all backends, in the registry of the server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sampled = set[str]()
        """Backends of the last sample."""

        def gauge(name: str, text: str, *labels: str, mode: Literal["livesum", "livemax"]) -> Gauge:
            return Gauge(name, text, ("backend", *labels), registry=registry, multiprocess_mode=mode)

        self._in_flight = gauge(
            "clawdbot_backend_requests_in_flight",
            "Requests that were sent to a backend and have not ended.",
            mode="livesum",
        )
        self._limit = gauge(
            "clawdbot_backend_max_concurrency",
            "Requests that are sent to a backend at the same time, at present.",
            mode="livemax",
        )
        self._connections = gauge(
            "clawdbot_backend_open_connections",
            "Open connections to a backend, busy or idle.",
            mode="livesum",
        )
        self._idle_connections = gauge(
            "clawdbot_backend_idle_connections",
            "Open connections to a backend that no request uses.",
            mode="livesum",
        )
        self._connection_waiters = gauge(
            "clawdbot_backend_connection_waiters",
            "Requests that have a slot and wait for a connection.",
            mode="livesum",
        )
        self._waiting = gauge(
            "clawdbot_backend_queue_length",
            "Requests that wait for a backend, by priority.",
            "priority",
            mode="livesum",
        )
        self._breaker = gauge(
            "clawdbot_backend_breaker_state",
            "The breaker of a backend: 1 closed, 2 half-open, 3 open.",
            mode="livemax",
        )
        self._waits = Histogram(
            "clawdbot_backend_queue_wait_seconds",
            "How long requests waited that did not get a slot at once.",
            ("backend", "priority"),
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self._first_content = Histogram(
            "clawdbot_backend_time_to_first_token_seconds",
            "How long a streamed request to a backend took until its first content, from its slot on.",
            ("backend",),
            buckets=FIRST_CONTENT_BUCKETS,
            registry=registry,
        )
        self._shed = Counter(
            "clawdbot_backend_requests_shed",
            "Requests that were refused instead of sent, by reason.",
            ("backend", "priority", "reason"),
            registry=registry,
        )

    def observer(self, backend: str) -> QueueObserver:
        """Records how requests to a backend fare."""
        return _QueueObserver(backend, self._waits, self._first_content, self._shed)

    def sample(self, backends: Iterable[Backend]) -> None:
        """Records the present load."""
        gone = self._sampled
        self._sampled = set()
        for backend in backends:
            self._sampled.add(backend.name)
            scheduler = backend.scheduler
            self._in_flight.labels(backend.name).set(scheduler.in_flight)
            self._connections.labels(backend.name).set(backend.provider.open_connections)
            if backend.breaker is not None:
                self._breaker.labels(backend.name).set(backend.breaker.state)
            self._idle_connections.labels(backend.name).set(backend.provider.idle_connections)
            self._connection_waiters.labels(backend.name).set(backend.provider.waiting_for_connection)
            if scheduler.limit != NO_LIMIT:
                self._limit.labels(backend.name).set(scheduler.limit)
            for priority, name in CLASSES.items():
                self._waiting.labels(backend.name, name).set(scheduler.waiting_in(priority))
        # With several workers, prometheus_client cannot remove them.
        for backend_name in gone - self._sampled:
            for gauge in (
                self._in_flight,
                self._connections,
                self._idle_connections,
                self._connection_waiters,
                self._limit,
                self._breaker,
            ):
                gauge.labels(backend_name).set(0)
            for name in CLASSES.values():
                self._waiting.labels(backend_name, name).set(0)


class _QueueObserver(QueueObserver):
    def __init__(self, backend: str, waits: Histogram, first_content: Histogram, shed: Counter) -> None:
        self._backend = backend
        self._first_content = first_content.labels(backend)
        self._waits = {priority: waits.labels(backend, name) for priority, name in CLASSES.items()}
        self._shed = shed

    @override
    def waited(self, priority: int, seconds: float) -> None:
        self._waits[priority].observe(seconds)

    @override
    def shed(self, priority: int, reason: str) -> None:
        self._shed.labels(self._backend, CLASSES[priority], reason).inc()

    @override
    def began(self, seconds: float) -> None:
        self._first_content.observe(seconds)


class FailureMetrics:
    """Metrics of second tries, in no registry yet."""

    def __init__(self) -> None:
        self.retries = Counter(
            "clawdbot_backend_retries",
            "Requests that were sent to the same backend again.",
            ("backend",),
            registry=None,
        )
        self.hedges = Counter(
            "clawdbot_backend_hedges",
            "Requests that were sent to another target as well, since this backend took long to begin.",
            ("backend",),
            registry=None,
        )
        self.refused_retries = Counter(
            "clawdbot_backend_retries_over_budget",
            "Retries and hedges that were not made, since they are too large a share of the requests.",
            ("backend",),
            registry=None,
        )

    def observer(self, backend: str) -> FailureObserver:
        """Counts what is done about a backend's failures."""
        return _FailureObserver(backend, self)

    @property
    def collectors(self) -> list[Collector]:
        """All of them, to be registered."""
        return [self.retries, self.hedges, self.refused_retries]


class _FailureObserver(FailureObserver):
    def __init__(self, backend: str, metrics: FailureMetrics) -> None:
        self._retries = metrics.retries.labels(backend)
        self._hedges = metrics.hedges.labels(backend)
        self._refused_retries = metrics.refused_retries.labels(backend)

    @override
    def retried(self) -> None:
        self._retries.inc()

    @override
    def hedged(self) -> None:
        self._hedges.inc()

    @override
    def budget_spent(self) -> None:
        self._refused_retries.inc()
