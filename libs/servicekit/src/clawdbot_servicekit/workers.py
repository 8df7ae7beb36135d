"""Several processes behind one port: started, watched, replaced and drained.

The supervisor itself serves nothing and starts no gRPC; each worker is this very command, run anew. It
replaces a worker that died (after a growing, random pause) or whose loop is stuck, and gives up when none
can start.
"""

from __future__ import annotations

import asyncio
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
from clawdbot_servicekit.metrics import Endpoint, Restarts
from clawdbot_servicekit.settings.environment import inherited
from clawdbot_servicekit.settings.shared import METRICS_OFFSET, SharedSettings
from clawdbot_servicekit.worker_ipc import ControlChannel, WorkerContext

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
"""Seconds: bounds of the pause before a restart, drawn at random below a limit that doubles each time."""
STABLE_AFTER: Final = 60.0
"""Seconds of service after which earlier deaths are forgiven."""
START_WITHIN: Final = 120.0
"""Seconds until a worker must serve: stores may have to recover first."""
HOPELESS_AFTER: Final = 3
"""Deaths before the first success, of any worker, after which the supervisor gives up."""
DRAIN_MARGIN: Final = 10.0
"""Seconds beyond settle and grace before a worker that does not leave is killed."""


def command() -> list[str]:
    """How this process was started, to be run again."""
    return [sys.executable, *sys.orig_argv[1:]]


class Supervisor:
    """Runs workers until told to stop."""

    def __init__(self, settings: SharedSettings, argv: Sequence[str]) -> None:
        self._settings = settings
        self._argv = list(argv)
        self._log = structlog.get_logger(__name__)
        self._stopping = asyncio.Event()
        self._workers = [_Worker(index) for index in range(settings.server.workers)]
        self._deaths_at_start = 0
        self._announced = False
        self._failure = ""
        self._port = 0

    async def run(self) -> int:
        """Until a signal, or until it gives up; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        server = self._settings.server
        folder = Path(tempfile.mkdtemp(prefix="clawdbot-metrics-"))
        reserved = sockets.reserve(server.host, server.port)
        self._port = int(reserved.getsockname()[1])
        self._restarts = Restarts(folder)
        endpoint: Endpoint | None = None
        try:
            endpoint = self._open_endpoint()
            async with asyncio.TaskGroup() as tasks:
                for worker in self._workers:
                    tasks.create_task(self._keep(worker, folder))
        finally:
            if endpoint is not None:
                endpoint.close()
            reserved.close()
            shutil.rmtree(folder, ignore_errors=True)
        if self._failure:
            raise StartupError(self._failure)
        return 0

    def _open_endpoint(self) -> Endpoint | None:
        port = self._settings.telemetry.metrics_port
        if port is None:
            return None
        usual = self._settings.default_port + METRICS_OFFSET
        return Endpoint.open(self._restarts.registry, self._settings.server.host, port, usual)

    def _signalled(self) -> None:
        """The first signal drains, the second cuts calls off, any further one kills."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._log.info("draining_workers")
            for worker in self._workers:
                worker.say(worker_ipc.DRAIN)
        elif not any(worker.told_to_cut for worker in self._workers):
            for worker in self._workers:
                worker.told_to_cut = True
                worker.say(worker_ipc.CUT)
        else:
            for worker in self._workers:
                worker.kill()

    def _give_up(self, sentence: str) -> None:
        self._failure = self._failure or sentence
        if not self._stopping.is_set():
            self._signalled()

    async def _keep(self, worker: _Worker, folder: Path) -> None:
        """Runs one worker again and again until the supervisor stops."""
        while not self._stopping.is_set():
            begun = time.monotonic()
            reason = await self._once(worker, folder)
            # Gauges of a dead process must not be summed any longer; its counters stay.
            mark_process_dead(worker.pid, str(folder))  # type: ignore[no-untyped-call]
            if self._stopping.is_set():
                return
            if worker.served:
                worker.deaths = 1 if time.monotonic() - begun > STABLE_AFTER else worker.deaths + 1
            else:
                worker.deaths += 1
                self._deaths_at_start += not self._announced
            if not self._announced and self._deaths_at_start >= HOPELESS_AFTER:
                self._give_up(f"The workers die while they start ({reason}). The log above says why.")
                return
            limit = min(LONGEST_PAUSE, FIRST_PAUSE * 2**worker.deaths)
            pause = random.uniform(0, limit)  # noqa: S311 - spreads restarts, guards nothing
            self._log.warning("worker_restarts", worker=worker.index, reason=reason, pause=round(pause, 3))
            self._restarts.count("stuck" if worker.stuck else "died")
            await _wait(self._stopping, pause)

    async def _once(self, worker: _Worker, folder: Path) -> str:
        """One life of one worker; why it ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            place = WorkerContext(worker.index, theirs.fileno(), self._port)
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                pass_fds=(theirs.fileno(),),
                env=inherited(PROMETHEUS_MULTIPROC_DIR=str(folder), **place.variable()),
            )
        worker.begin(process, await ControlChannel.over(ours))
        if self._stopping.is_set():
            worker.say(worker_ipc.DRAIN)
        try:
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(self._listen(worker))
                watching = tasks.create_task(self._watch(worker))
                code = await process.wait()
                watching.cancel()
                await listening  # what it said last may still be on the line
        finally:
            worker.kill()
            await process.wait()
            await worker.end()
        if worker.stuck:
            return "its loop was stuck"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def _listen(self, worker: _Worker) -> None:
        while (heard := await worker.hear()) is not None:
            word, text = heard
            worker.last_sign = time.monotonic()
            if word == worker_ipc.READY:
                worker.served = worker.serving = True
                self._log.info("worker_serves", worker=worker.index, pid=worker.pid)
                self._announce()
            elif word == worker_ipc.FAILED:
                self._failed(text)

    def _announce(self) -> None:
        """Once every worker serves, the first one may tell the world."""
        if not self._announced and all(worker.serving for worker in self._workers):
            self._announced = True
            self._workers[0].say(worker_ipc.ALL_READY)

    def _failed(self, sentence: str) -> None:
        """A worker that knows why it cannot start will not start later, unless workers have served before."""
        if self._announced:
            self._log.error("worker_cannot_start", reason=sentence)
        else:
            self._give_up(sentence)

    async def _watch(self, worker: _Worker) -> None:
        """Kills the worker when it shows no sign of life, or does not leave when told."""
        leave_by: float | None = None
        while True:
            await _wait(self._stopping, 0.5)
            now = time.monotonic()
            if self._stopping.is_set():
                server = self._settings.server
                leave_by = leave_by or now + server.settle + server.grace + DRAIN_MARGIN
                if now > leave_by:
                    worker.kill()
                await asyncio.sleep(0.5)
            elif now - worker.last_sign > self._patience(worker):
                worker.stuck = True
                self._log.error("worker_stuck", worker=worker.index, pid=worker.pid)
                worker.show_stacks()
                await asyncio.sleep(0.5)
                worker.kill()
                return

    def _patience(self, worker: _Worker) -> float:
        """Seconds without a sign of life that the worker is allowed."""
        return self._settings.server.stuck_after if worker.served else START_WITHIN


class _Worker:
    """One place, and the process that has it now."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.deaths = 0
        self.told_to_cut = False
        self.pid = 0
        self._process: asyncio.subprocess.Process | None = None
        self._line: ControlChannel | None = None
        self.served = self.serving = self.stuck = False
        self.last_sign = 0.0

    def begin(self, process: asyncio.subprocess.Process, line: ControlChannel) -> None:
        self._process, self._line, self.pid = process, line, process.pid
        self.served = self.serving = self.stuck = False
        self.last_sign = time.monotonic()

    async def end(self) -> None:
        self.serving = False
        if self._line is not None:
            await self._line.close()
        self._process = self._line = None

    def say(self, word: str) -> None:
        if self._line is not None:
            self._line.say(word)

    async def hear(self) -> tuple[str, str] | None:
        return await self._line.hear() if self._line is not None else None

    def show_stacks(self) -> None:
        self._send(signal.SIGUSR1)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
