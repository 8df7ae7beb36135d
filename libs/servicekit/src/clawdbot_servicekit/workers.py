"""Supervises several worker processes that share one port: starts, monitors, replaces and drains them.

The supervisor serves no calls and starts no gRPC; each worker runs the same command again. It replaces a
worker that died (after a random, growing backoff) or whose event loop is stuck, and gives up when none can
start.
"""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from prometheus_client.multiprocess import mark_process_dead

from clawdbot_servicekit import sockets, worker_ipc
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.metrics import WorkerMetrics
from clawdbot_servicekit.metrics_endpoint import MetricsEndpoint
from clawdbot_servicekit.settings.accepted import AcceptedConfiguration
from clawdbot_servicekit.settings.environment import child_environ
from clawdbot_servicekit.settings.shared import SharedSettings
from clawdbot_servicekit.terminal import Terminal
from clawdbot_servicekit.watchdog import FORCED_EXIT_CODE
from clawdbot_servicekit.worker_ipc import ControlChannel, WorkerContext

BACKOFF_MIN: Final = 0.1
BACKOFF_MAX: Final = 30.0
"""Seconds: bounds of the backoff before a restart, random below a limit that doubles each time."""
STABLE_AFTER: Final = 60.0
"""Seconds of service after which earlier crashes no longer count."""
START_TIMEOUT: Final = 120.0
"""Seconds until a worker must serve: stores may have to recover first."""
CRASH_LOOP_LIMIT: Final = 3
"""Crashes of any workers before all have served once, after which the supervisor gives up."""
KILL_AFTER: Final = 7.75
"""Seconds beyond settle and grace after which a worker is killed, as its watchdog has not ended it."""
MONITOR_INTERVAL: Final = 0.25
"""Seconds between two looks at a worker, and for it to write its stacks before it is killed."""
LAST_WORDS_TIMEOUT: Final = 1.0
"""Seconds to wait for the last message of a worker that has exited: its children may hold the channel."""


def command() -> list[str]:
    """The command line of this process, to run it again."""
    return [sys.executable, *sys.orig_argv[1:]]


def _metrics_folder() -> Path:
    """A new folder in which the workers put their metrics for the supervisor."""
    try:
        return Path(tempfile.mkdtemp(prefix="clawdbot-metrics-"))
    except OSError as error:
        raise StartupError(
            f"Workers need a folder for temporary files ({error.strerror or error}). "
            "Make /tmp writable, name another folder in TMPDIR, or set server.workers to 1."
        ) from None


class Supervisor:
    """Runs workers until it is told to stop."""

    def __init__(self, settings: SharedSettings, argv: Sequence[str]) -> None:
        self._settings = settings
        self._argv = list(argv)
        self._log = structlog.get_logger(__name__)
        self._stopping = asyncio.Event()
        self._workers = [_Worker(index) for index in range(settings.server.workers)]
        self._startup_crashes = 0
        self._announced = False
        self._error = ""
        self._forced = False
        self._kill_at = math.inf
        self._port = 0
        self._terminal = Terminal()

    async def run(self) -> int:
        """Runs until a signal arrives or it gives up; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        server = self._settings.server
        folder = _metrics_folder()
        self._configuration = AcceptedConfiguration.create()
        if self._settings.reading is not None:
            self._configuration.write(self._settings.reading)
        try:
            with sockets.reserved_port(server.host, server.port) as self._port:
                await self._run_workers(folder)
        finally:
            self._configuration.close()
            shutil.rmtree(folder, ignore_errors=True)
        if self._error:
            raise StartupError(self._error)
        return FORCED_EXIT_CODE if self._forced else 0

    async def _run_workers(self, folder: Path) -> None:
        self._metrics = WorkerMetrics(folder)
        endpoint = MetricsEndpoint.open(self._metrics.registry, self._settings)
        try:
            async with asyncio.TaskGroup() as tasks:
                for worker in self._workers:
                    tasks.create_task(self._supervise(worker, folder))
        finally:
            if endpoint is not None:
                endpoint.close()

    def _on_signal(self) -> None:
        """The first signal drains, the second ends all calls, any further one kills."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._kill_within(self._settings.server.settle + self._settings.server.grace + KILL_AFTER)
            self._log.info("draining_workers")
            for worker in self._workers:
                worker.send(worker_ipc.DRAIN)
        elif not any(worker.stop_now_sent for worker in self._workers):
            self._kill_within(KILL_AFTER)
            for worker in self._workers:
                worker.stop_now_sent = True
                worker.send(worker_ipc.STOP_NOW)
        else:
            self._kill_within(0)

    def _on_hangup(self) -> None:
        """SIGHUP reloads, except where it says that the terminal is gone."""
        if not self._terminal.gone:
            self._log.info("reloading")
            for worker in self._workers:
                worker.send(worker_ipc.RELOAD)
        elif not self._stopping.is_set():
            self._on_signal()

    def _kill_within(self, seconds: float) -> None:
        self._kill_at = min(self._kill_at, time.monotonic() + seconds)

    def _give_up(self, message: str) -> None:
        self._error = self._error or message
        if not self._stopping.is_set():
            self._on_signal()

    async def _supervise(self, worker: _Worker, folder: Path) -> None:
        """Runs one worker again and again until the supervisor stops."""
        while not self._stopping.is_set():
            started_at = time.monotonic()
            reason = await self._run_once(worker, folder)
            # Gauges of a dead process must not be summed any longer; its counters stay.
            mark_process_dead(worker.pid, str(folder))  # type: ignore[no-untyped-call]
            if self._stopping.is_set():
                return
            if worker.has_served:
                worker.crashes = 1 if time.monotonic() - started_at > STABLE_AFTER else worker.crashes + 1
            else:
                worker.crashes += 1
                self._startup_crashes += not self._announced
            if not self._announced and self._startup_crashes >= CRASH_LOOP_LIMIT:
                self._give_up(
                    f"The workers crash while they start ({reason}). See the log above for the cause."
                )
                return
            limit = min(BACKOFF_MAX, BACKOFF_MIN * 2**worker.crashes)
            backoff = random.uniform(0, limit)  # noqa: S311 - spreads restarts, guards nothing
            self._log.warning(
                "worker_restarts", worker=worker.index, reason=reason, backoff=round(backoff, 3)
            )
            self._metrics.count_restart("stuck" if worker.stuck else "died")
            await _wait(self._stopping, backoff)

    async def _run_once(self, worker: _Worker, folder: Path) -> str:
        """Runs one process of a worker until it exits; returns why it did."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            shared = self._configuration.descriptor
            context = WorkerContext(worker.index, theirs.fileno(), self._port, shared)
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                pass_fds=(theirs.fileno(), shared),
                env=child_environ(PROMETHEUS_MULTIPROC_DIR=str(folder), **context.to_environ()),
            )
        worker.attach(process, await ControlChannel.from_socket(ours))
        if self._stopping.is_set():
            worker.send(worker_ipc.DRAIN)
        try:
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(self._receive(worker))
                monitoring = tasks.create_task(self._monitor(worker))
                code = await process.wait()
                monitoring.cancel()
                await asyncio.wait({receiving}, timeout=LAST_WORDS_TIMEOUT)
                receiving.cancel()
        finally:
            worker.kill()
            await process.wait()
            await worker.detach()
        self._forced |= self._stopping.is_set() and code in (FORCED_EXIT_CODE, -signal.SIGKILL)
        if worker.stuck:
            return "its event loop was stuck"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def _receive(self, worker: _Worker) -> None:
        while (message := await worker.receive()) is not None:
            kind, text = message
            worker.last_heartbeat = time.monotonic()
            if kind == worker_ipc.READY:
                worker.has_served = worker.serving = True
                self._log.info("worker_serves", worker=worker.index, pid=worker.pid)
                self._announce()
            elif kind == worker_ipc.START_FAILED:
                self._start_failed(text)

    def _announce(self) -> None:
        """Once every worker serves, the first one may announce it."""
        if not self._announced and all(worker.serving for worker in self._workers):
            self._announced = True
            self._workers[0].send(worker_ipc.ALL_READY)

    def _start_failed(self, message: str) -> None:
        """A worker that knows why it cannot start will not start later, unless workers have served before."""
        if self._announced:
            self._log.error("worker_cannot_start", reason=message)
        else:
            self._give_up(message)

    async def _monitor(self, worker: _Worker) -> None:
        """Kills the worker when its heartbeat stops, or when it does not exit in time."""
        while True:
            await asyncio.sleep(MONITOR_INTERVAL)
            now = time.monotonic()
            if self._stopping.is_set():
                if now < self._kill_at:
                    continue
                self._log.error("worker_did_not_exit", worker=worker.index, pid=worker.pid)
            elif now - worker.last_heartbeat > self._heartbeat_timeout(worker):
                worker.stuck = True
                self._log.error("worker_stuck", worker=worker.index, pid=worker.pid)
            else:
                continue
            worker.dump_stacks()
            await asyncio.sleep(MONITOR_INTERVAL)
            worker.kill()
            return

    def _heartbeat_timeout(self, worker: _Worker) -> float:
        """Seconds without a heartbeat after which the worker counts as stuck."""
        return self._settings.server.stuck_after if worker.has_served else START_TIMEOUT


class _Worker:
    """One worker, and the process that runs it now."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.crashes = 0
        self.stop_now_sent = False
        self.pid = 0
        self._process: asyncio.subprocess.Process | None = None
        self._channel: ControlChannel | None = None
        self.has_served = self.serving = self.stuck = False
        self.last_heartbeat = 0.0

    def attach(self, process: asyncio.subprocess.Process, channel: ControlChannel) -> None:
        self._process, self._channel, self.pid = process, channel, process.pid
        self.has_served = self.serving = self.stuck = False
        self.last_heartbeat = time.monotonic()

    async def detach(self) -> None:
        self.serving = False
        if self._channel is not None:
            await self._channel.close()
        self._process = self._channel = None

    def send(self, kind: str) -> None:
        if self._channel is not None:
            self._channel.send(kind)

    async def receive(self) -> tuple[str, str] | None:
        return await self._channel.receive() if self._channel is not None else None

    def dump_stacks(self) -> None:
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Waits until the event is set, at most so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
