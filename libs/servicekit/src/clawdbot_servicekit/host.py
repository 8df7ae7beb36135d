"""One grpc.aio server and the applications that it carries, from start to drain.

It owns ports, health, reflection, TLS, limits and the order of a server's life. What the applications do, how
a call is worked off (pipeline) and what the process is (process, workers) are not its business.
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
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]
from prometheus_client import CollectorRegistry

from clawdbot_servicekit import health, server_factory, sockets
from clawdbot_servicekit.admission import Admission
from clawdbot_servicekit.application import Application
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.identity import Identity
from clawdbot_servicekit.inprocess import InProcessChannel, InProcessServer
from clawdbot_servicekit.logs import CallLog
from clawdbot_servicekit.metrics import Endpoint, Metrics
from clawdbot_servicekit.pipeline import CallRecord, Deadlines, HandlerRegistrar, Pipeline
from clawdbot_servicekit.reflection import pool_of
from clawdbot_servicekit.settings.shared import METRICS_OFFSET, SharedSettings
from clawdbot_servicekit.stream_drain import StreamDrainServer

STOP_WITHIN: Final = 10.0
"""Seconds that one application may take to free what it holds; then the process goes without it."""


class Host:
    """Carries applications on one server. Make it inside a running loop; start once, stop once."""

    def __init__(self, settings: SharedSettings, registry: CollectorRegistry | None = None) -> None:
        """Args: registry: where its metrics appear; one of its own when left out."""
        self.settings = settings
        self.health = health.Health()
        self.metrics = Metrics(registry)
        self.port = 0
        """The TCP port that it listens on, known after start."""
        self.metrics_port: int | None = None
        """Where Prometheus finds it; None where metrics are off or a supervisor shows them."""
        self._log = structlog.get_logger(__name__)
        self._calls = CallLog()
        self._server = server_factory.make_server(settings)
        self._draining = asyncio.Event()
        self._admission = Admission(settings.server.max_concurrent_calls)
        self._identity = Identity(settings.auth)
        self._pipeline = Pipeline(
            self._admission,
            self._identity.identify,
            Deadlines(settings.server.default_deadline, settings.server.max_deadline),
            self._observe,
        )
        self._inside = InProcessServer(settings.server.max_message)
        self._channel = InProcessChannel(self._inside)
        self._applications: list[Application] = []
        self._begun: list[Application] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._readiness = health.Readiness(self.health, self._applications, self.metrics.ready)
        self._tasks: list[asyncio.Task[None]] = []
        self._endpoint: Endpoint | None = None
        self._listening = False
        self._cut = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    def add(self, application: Application) -> None:
        """Registers one more application. Before start."""
        targets = (StreamDrainServer(self._server, self._draining), self._inside)
        application.register(HandlerRegistrar(self._pipeline, targets, application.errors))
        self._applications.append(application)
        self._identity.register(application.services)
        self.health.know(application.services)

    def channel(self) -> grpc.aio.Channel:
        """A channel straight to the applications of this host, without a socket. The same one each time."""
        return self._channel

    def on_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        """Has something closed after the applications have stopped; the last one given is closed first."""
        self._closers.append(close)

    async def start(self) -> int:
        """Starts the applications, listens, and returns the port. Serving begins once every check passes.

        Raises:
            StartupError: for what an operator can mend: a taken port, a certificate, an unwritable folder.
        """
        prepare_folder(self.settings.state_dir)
        # Probes and reflection are nobody's calls: no key, no limit, no line in the log.
        exempt = HandlerRegistrar(self._pipeline, (self._server,), ErrorTable({}), exempt=True)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, exempt)
        self._describe(exempt)
        # Before the applications: they may take long, and a taken port is the more common mistake.
        self.port = server_factory.listen(self._server, self.settings)
        self._open_endpoint()
        for application in self._applications:
            self._begun.append(application)
            await application.start()
        await self._server.start()
        self._listening = True
        self._spawn(self._readiness.run())
        self._spawn(self.metrics.sample(lambda: self._admission.count))
        self._log.info("listening", address=sockets.target(self.settings.server.host, self.port))
        return self.port

    async def ready(self) -> None:
        """Returns when the host is SERVING for the first time."""
        await self._readiness.all_ready.wait()

    async def stop(self, grace: float | None = None) -> None:
        """Drains and frees everything: not ready → settle → no new calls → calls end → applications stop.

        A second call while the first one waits cuts the wait short: what is left ends with UNAVAILABLE.

        Args:
            grace: seconds that calls in flight may still take; server.grace when left out.
        """
        if self._stopping is None:
            grace = self.settings.server.grace if grace is None else grace
            self._stopping = asyncio.create_task(self._drain(grace))
        else:
            self._cut.set()
        await asyncio.shield(self._stopping)

    async def _drain(self, grace: float) -> None:
        await self.health.drain()
        if self._listening:
            self._log.info("draining", grace=grace)
            await self._unless_cut(asyncio.sleep(self.settings.server.settle))
            self._admission.close()
            self._draining.set()
            await self._unless_cut(self._server.stop(grace))
        await self._server.stop(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for application in reversed(self._begun):
            await self._bounded(application.name, application.stop())
        await self._channel.close(None)
        await self._bounded("calls in the process", self._inside.stop())
        for close in reversed(self._closers):
            await self._bounded(getattr(close, "__qualname__", "closer"), close())
        self._calls.flush()
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.close)
        if self._listening:
            if self.settings.server.socket is not None:
                self.settings.server.socket.unlink(missing_ok=True)
            self._log.info("stopped")

    def _observe(self, record: CallRecord) -> None:
        self.metrics.call(record.method, record.code, record.seconds)
        self._calls.write(record)

    async def _unless_cut(self, work: Coroutine[Any, Any, None]) -> None:
        """Waits for the work, or for the order to cut."""
        doing, cut = asyncio.create_task(work), asyncio.create_task(self._cut.wait())
        try:
            await asyncio.wait({doing, cut}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                doing.result()
        finally:
            doing.cancel()
            cut.cancel()
            await asyncio.gather(doing, cut, return_exceptions=True)

    async def _bounded(self, name: str, work: Awaitable[None]) -> None:
        """Lets something free what it holds; what fails or hangs must not keep the rest from it."""
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await work
        except TimeoutError:
            self._log.error("does_not_stop", what=name, seconds=STOP_WITHIN)
        except Exception:  # noqa: BLE001 - logged, and the rest must be freed
            self._log.exception("stop_failed", what=name)

    def _describe(self, on_server: grpc.aio.Server) -> None:
        """Reflection, where it is on: by default on loopback only, as it tells everybody what there is."""
        server = self.settings.server
        on = sockets.is_loopback(server.host) if server.reflection is None else server.reflection
        if on:
            names = [name for each in self._applications for name in each.services]
            names += [health.SERVICE, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, on_server, pool_of(names))

    def _open_endpoint(self) -> None:
        port = self.settings.telemetry.metrics_port
        if port is None:
            return
        usual = self.settings.default_port + METRICS_OFFSET
        host = self.settings.server.host
        self._endpoint = Endpoint.open(self.metrics.registry, host, port, usual)
        self.metrics_port = self._endpoint.port

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._report)
        self._tasks.append(task)

    def _report(self, task: asyncio.Task[None]) -> None:
        """A task that runs until cancelled and yet ended has failed: never silently."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("background_task_failed", exc_info=error)


def prepare_folder(folder: Path) -> None:
    """Makes the state directory, private to this user; StartupError when nothing can be written there."""
    advice = "Choose another: CLAWDBOT_STATE_DIR=/path."
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"The state directory {folder} cannot be made: {error.strerror}. {advice}"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartupError(f"The state directory {folder} cannot be written to. {advice}")
