"""Prometheus metrics of a server, and of a supervisor of workers.

Names follow OpenTelemetry's semantic conventions in Prometheus' spelling, and all are defined here.
Registries are passed in; the library's global one is never used.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

CALL_BUCKETS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""Seconds; finer at the low end than OpenTelemetry's, since a cached answer takes about a millisecond."""

SAMPLE_INTERVAL: Final = 0.5
"""Seconds between two samples of the event loop, the garbage collector and the calls in flight."""


class Metrics:
    """The metrics of a server, in one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        ProcessCollector(registry=self.registry)
        self._durations = Histogram(
            "rpc_server_call_duration_seconds",
            "How long calls took, by method and status.",
            ("rpc_method", "rpc_response_status_code"),
            buckets=CALL_BUCKETS,
            registry=self.registry,
        )
        self._children: dict[tuple[str, str], Histogram] = {}
        self._in_flight = Gauge(
            "rpc_server_calls_in_flight",
            "Calls in flight.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._engine = Gauge(
            "clawdbot_server_engine",
            "1 for the engine that serves gRPC.",
            ("engine",),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._lag = Gauge(
            "clawdbot_event_loop_lag_seconds",
            "How late the event loop woke a timer, in the last half second.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._stalls = Counter(
            "clawdbot_event_loop_stalls",
            "Times that the event loop was blocked for seconds; the log has its stack.",
            registry=self.registry,
        )
        self._longest_pause = Gauge(
            "clawdbot_gc_longest_pause_seconds",
            "The longest pause for garbage collection since the start.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._applications = Gauge(
            "clawdbot_application_ready",
            "1 while the required dependencies of an application answer.",
            ("application",),
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self._dependencies = Gauge(
            "clawdbot_dependency_ready",
            "1 while a dependency of an application answers.",
            ("application", "dependency"),
            registry=self.registry,
            multiprocess_mode="livemin",
        )

    def record_call(self, method: str, code: str, seconds: float) -> None:
        """Records one finished call. Method and code come from our own tables, so labels are few."""
        child = self._children.get((method, code))
        if child is None:
            child = self._durations.labels(method.lstrip("/"), code)
            self._children[method, code] = child
        child.observe(seconds)

    def set_engine(self, engine: str) -> None:
        """Records which engine serves gRPC."""
        self._engine.labels(engine).set(1.0)

    def set_ready(self, application: str, ready: bool) -> None:
        """Records whether an application is ready."""
        self._applications.labels(application).set(float(ready))

    def set_dependency(self, application: str, dependency: str, ready: bool) -> None:
        """Records whether a dependency of an application answers."""
        self._dependencies.labels(application, dependency).set(float(ready))

    def count_stall(self) -> None:
        """Counts one time that the event loop was blocked."""
        self._stalls.inc()

    async def sample(self, in_flight: Callable[[], int]) -> None:
        """Samples event loop lag, garbage collection pauses and calls in flight, until cancelled."""
        pauses = _GcPauses()
        gc.callbacks.append(pauses)
        try:
            while True:
                due = time.perf_counter() + SAMPLE_INTERVAL
                await asyncio.sleep(SAMPLE_INTERVAL)
                self._lag.set(max(0.0, time.perf_counter() - due))
                self._longest_pause.set(pauses.longest)
                self._in_flight.set(in_flight())
        finally:
            gc.callbacks.remove(pauses)


class _GcPauses:
    """Measures garbage collection; Python calls it before and after each run."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._started_at = 0.0

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        del info
        now = time.perf_counter()
        if phase == "start":
            self._started_at = now
        else:
            self.longest = max(self.longest, now - self._started_at)


class WorkerMetrics:
    """The metrics of a supervisor: its own, and those of all its workers."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: where the workers write their metrics (PROMETHEUS_MULTIPROC_DIR)."""
        self.registry = CollectorRegistry()
        MultiProcessCollector(self.registry, path=str(folder))  # type: ignore[no-untyped-call]
        self._restarts = Counter(
            "clawdbot_worker_restarts",
            "Workers that were restarted, by reason.",
            ("reason",),
            registry=self.registry,
        )

    def count_restart(self, reason: str) -> None:
        """Counts one restart: "died" or "stuck"."""
        self._restarts.labels(reason).inc()
