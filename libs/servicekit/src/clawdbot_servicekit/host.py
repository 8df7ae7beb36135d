"""One grpc.aio server and the applications on it, from start to drain.

It owns ports, health, reflection, TLS, limits and the order of a server's life. It does not know what the
applications do, how a call is handled (pipeline) or what the process is (process, workers).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import grpc.aio
import structlog
from grpc_health.v1 import health_pb2_grpc  # type: ignore[import-untyped]
from prometheus_client import CollectorRegistry

from clawdbot_servicekit import health, server_factory, sockets
from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.application import Application
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.identity import Identity
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer
from clawdbot_servicekit.logs import CallLog
from clawdbot_servicekit.metrics import Metrics
from clawdbot_servicekit.metrics_endpoint import MetricsEndpoint
from clawdbot_servicekit.pipeline import CallRecord, Deadlines, HandlerRegistrar, HandlerTarget, Pipeline
from clawdbot_servicekit.private_files import create_folder
from clawdbot_servicekit.reflection import add_reflection
from clawdbot_servicekit.server_engine import Engine
from clawdbot_servicekit.settings.shared import SharedSettings
from clawdbot_servicekit.stream_drain import StreamDrain

STOP_TIMEOUT: Final = 6.0
"""Seconds that all applications and connections may take to stop; then the process exits without them."""
STOP_RESERVE: Final = 0.25
"""Seconds of these that each of them gets, however long the others take."""


class Host:
    """Runs applications on one server. Make it inside a running loop; start once, stop once."""

    def __init__(self, settings: SharedSettings, registry: CollectorRegistry | None = None) -> None:
        """A host without applications.

        Args:
            settings: the process's settings.
            registry: where its metrics appear; default: one of its own.
        """
        self.settings = settings
        self.health = health.Health()
        self.metrics = Metrics(registry)
        self.port = 0
        """The TCP port that it listens on, known after start."""
        self.metrics_port: int | None = None
        """The port of the metrics endpoint; None if metrics are off or a supervisor serves them."""
        self._log = structlog.get_logger(__name__)
        self._calls = CallLog()
        self._target = server_factory.make_server(settings)
        self._server = self._target.server
        self.metrics.set_engine(self.engine.name)
        self._draining = asyncio.Event()
        self._admission = Admission(settings.server.max_concurrent_calls)
        self._identity = Identity(settings.auth)
        self._pipeline = Pipeline(
            self._admission,
            self._identity.identify,
            Deadlines(settings.server.default_deadline, settings.server.max_deadline),
            self._observe,
            settings.server.max_message,
        )
        self._inprocess = InProcessServer(settings.server.max_message)
        self._channel = InProcessChannel(self._inprocess)
        self._applications: list[Application] = []
        self._samples: list[Callable[[], None]] = []
        self._started: list[Application] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._readiness = health.Readiness(self.health, self._applications, self.metrics)
        self._tasks: list[asyncio.Task[None]] = []
        self._endpoint: MetricsEndpoint | None = None
        self._listening = False
        self._stop_now = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    @property
    def engine(self) -> Engine:
        """What serves gRPC."""
        return self._target.engine

    def add(self, application: Application) -> None:
        """Registers one more application. Before start."""
        targets = (StreamDrain(self._target, self._draining), self._inprocess)
        application.register(HandlerRegistrar(self._pipeline, targets, application.errors))
        if (sample := application.add_metrics(self.metrics.registry)) is not None:
            self._samples.append(sample)
        self._applications.append(application)
        self._identity.register(application.services)
        self.health.register(application.services)

    def channel(self) -> grpc.aio.Channel:
        """An in-process channel to the applications of this host. The same one each time."""
        return self._channel

    def on_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        """Has something closed after the applications have stopped, in reverse order of registration."""
        self._closers.append(close)

    async def start(self) -> int:
        """Starts the applications, listens, and returns the port. It is SERVING once every check passes.

        Raises:
            StartupError: for an error that an operator can fix: a taken port, a bad certificate, a folder
                that is not writable.
        """
        prepare_state_dir(self.settings.state_dir)
        # Peers in this process ask for its health as those in other processes do.
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._exempt(self._target, self._inprocess))
        self._enable_reflection(self._exempt(self._target))
        # Before the applications: they may take long, and a taken port is the more common mistake.
        self.port = server_factory.listen(self._server, self.settings)
        self._endpoint = MetricsEndpoint.open(self.metrics.registry, self.settings)
        self.metrics_port = None if self._endpoint is None else self._endpoint.port
        for application in self._applications:
            self._started.append(application)
            await application.start()
        await self._server.start()
        self._listening = True
        self._spawn(self._readiness.run())
        self._spawn(self.metrics.sample(self._sample))
        self._log.info(
            "listening",
            address=sockets.target(self.settings.server.host, self.port),
            engine=self.engine.name,
            because=self.engine.reason,
        )
        return self.port

    async def ready(self) -> None:
        """Returns when the host is SERVING for the first time."""
        await self._readiness.all_ready.wait()

    async def reload(self) -> None:
        """Has the applications read again what may change without a restart; the log tells the result."""
        for application in self._applications:
            try:
                await application.reload()
            except StartupError as error:
                # What an operator can fix needs no traceback.
                self._log.error("reload_refused", application=application.name, reason=str(error))
            except Exception:  # noqa: BLE001 - the server goes on as it was
                self._log.exception("reload_failed", application=application.name)

    async def stop(self, grace: float | None = None) -> None:
        """Drains and releases everything: not ready → settle → no new calls → calls end → applications stop.

        A second call during the first one ends the wait: the calls that are left end with UNAVAILABLE.

        Args:
            grace: seconds that calls in flight may still take; default: server.grace.
        """
        if self._stopping is None:
            grace = self.settings.server.grace if grace is None else grace
            self._stopping = asyncio.create_task(self._drain(grace))
        else:
            self._stop_now.set()
        await asyncio.shield(self._stopping)

    async def _drain(self, grace: float) -> None:
        await self.health.drain()
        if self._listening:
            self._log.info("draining", grace=grace)
            await self._until_stop_now(asyncio.sleep(self.settings.server.settle))
            self._admission.close()
            self._draining.set()
            # The server waits even for handlers that go on after they were cancelled.
            await self._until_stop_now(self._server.stop(grace), grace + STOP_RESERVE)
        await self._stop_parts()
        self._calls.flush()
        if self._endpoint is not None:
            self._endpoint.close()
        if self._listening:
            if self.settings.server.socket is not None:
                self.settings.server.socket.unlink(missing_ok=True)
            self._log.info("stopped")

    def _exempt(self, *targets: HandlerTarget) -> HandlerRegistrar:
        """For health and reflection: they need no key, count towards no limit and are not logged."""
        return HandlerRegistrar(self._pipeline, targets, ErrorTable({}), exempt=True)

    async def _stop_parts(self) -> None:
        """Stops everything in turn, within STOP_TIMEOUT; each part has at least STOP_RESERVE."""
        applications = ((each.name, each.stop) for each in reversed(self._started))
        closers = ((getattr(each, "__qualname__", "closer"), each) for each in reversed(self._closers))
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("calls", lambda: self._server.stop(None)),
            ("background tasks", self._stop_tasks),
            *applications,
            ("in-process channel", lambda: self._channel.close(None)),
            ("in-process calls", self._inprocess.stop),
            *closers,
        ]
        stop_by = asyncio.get_running_loop().time() + STOP_TIMEOUT
        for left, (name, stop) in zip(range(len(parts))[::-1], parts, strict=True):
            await self._stop_part(name, stop, stop_by - left * STOP_RESERVE)

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _sample(self) -> int:
        """Has the applications record their load; returns the calls in flight."""
        for sample in self._samples:
            sample()
        return self._admission.count

    def _observe(self, record: CallRecord) -> None:
        self.metrics.record_call(record.method, record.code, record.seconds)
        self._calls.write(record)

    async def _until_stop_now(self, work: Coroutine[Any, Any, None], at_most: float | None = None) -> None:
        """Waits for the work, until the second call of `stop`, or for so many seconds."""
        working, stop_now = asyncio.create_task(work), asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({working, stop_now}, timeout=at_most, return_when=asyncio.FIRST_COMPLETED)
        stop_now.cancel()
        if working.done():
            working.result()
        else:
            working.cancel()
            await asyncio.wait({working}, timeout=STOP_RESERVE)

    async def _stop_part(self, name: str, stop: Callable[[], Awaitable[None]], stop_by: float) -> None:
        """Stops one part; an error or a hang must not keep the other parts from being stopped."""
        seconds = max(STOP_RESERVE, stop_by - asyncio.get_running_loop().time())
        stopping = asyncio.ensure_future(stop())
        done, _ = await asyncio.wait({stopping}, timeout=seconds)
        if not done:
            self._log.error("stop_timed_out", what=name, seconds=round(seconds, 1))
            # It may ignore that, so it is not awaited.
            stopping.cancel()
        elif not stopping.cancelled() and (error := stopping.exception()) is not None:
            self._log.error("stop_failed", what=name, exc_info=error)

    def _enable_reflection(self, server: grpc.aio.Server) -> None:
        """Serves reflection if it is on: by default only on loopback, as it shows all methods to everyone."""
        settings = self.settings.server
        enabled = sockets.is_loopback(settings.host) if settings.reflection is None else settings.reflection
        if enabled:
            names = [name for each in self._applications for name in each.services]
            add_reflection([*names, health.SERVICE], server)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._on_task_end)
        self._tasks.append(task)

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        """A task that should run until cancelled has failed if it ends otherwise."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("background_task_failed", exc_info=error)


def prepare_state_dir(folder: Path) -> None:
    """Creates the state directory, private to this user; StartupError if it cannot be written to."""
    advice = "Choose another: CLAWDBOT_STATE_DIR=/path."
    try:
        create_folder(folder)
    except OSError as error:
        raise StartupError(
            f"Cannot create the state directory {folder}: {error.strerror}. {advice}"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartupError(f"The state directory {folder} is not writable. {advice}")
