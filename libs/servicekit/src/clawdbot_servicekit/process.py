"""Runs a service as a process of the operating system: arguments, signals, exit codes, worker processes.

`python -m clawdbot_dialogue` is `run_service(DialogueSettings, build)`; `clawdbot up` is
`serve(settings, assemble)`. Neither shows a traceback for an error that an operator can fix.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import structlog
import uvloop

from clawdbot_servicekit import guard, logs, sockets, worker_ipc
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.redaction import Redactor, secrets_of
from clawdbot_servicekit.settings import SharedSettings, load
from clawdbot_servicekit.settings.environment import disable_grpc_fork_support, worker_context
from clawdbot_servicekit.terminal import Terminal
from clawdbot_servicekit.watchdog import EXIT_TIMEOUT, FORCE_AFTER, Watchdog
from clawdbot_servicekit.worker_ipc import ControlChannel, WorkerContext

if TYPE_CHECKING:
    from clawdbot_servicekit.application import Application, Peers
    from clawdbot_servicekit.host import Host

S = TypeVar("S", bound=SharedSettings)

STARTUP_ERROR_CODE: Final = 2
"""Exit code for an error that an operator can fix."""

GC_THRESHOLDS: Final = (10_000, 5, 80)
"""Of the garbage collector's generations. Python's 700 of the youngest is less than one call allocates. Five
of those make a middle one, which so looks at 50,000 objects at most: docs/performance.md."""


def run_service(settings_cls: type[S], build: Callable[[S, Peers], Application]) -> NoReturn:
    """The whole main() of one service: reads --config and the environment, serves, exits.

    Args:
        settings_cls: the service's settings.
        build: the service from its settings and peers, which are reached over the network. Only it may import
            gRPC: see `disable_grpc_fork_support`.
    """
    parser = argparse.ArgumentParser(
        description="Serves until SIGTERM or Ctrl-C; settings come from a YAML file and CLAWDBOT_… variables."
    )
    parser.add_argument(
        "--config", type=Path, help="YAML file; default: $CLAWDBOT_CONFIG, else ./clawdbot.yaml"
    )
    arguments = parser.parse_args()

    def main() -> int:
        settings = load(settings_cls, arguments.config)
        built: list[Application] = []

        def assemble(host: Host) -> None:
            # Imported here: a supervisor of workers has no use for gRPC.
            from clawdbot_servicekit.peers import NetworkPeers

            peers = NetworkPeers(settings)
            host.on_stop(peers.close)
            built.append(build(settings, peers))
            host.add(built[0])

        return serve(settings, assemble, on_serving=lambda host: _show_banner(host, built[0]))

    sys.exit(_exit_code(main))


def run(main: Callable[[], Coroutine[Any, Any, int | None]]) -> NoReturn:
    """Runs a coroutine under uvloop and exits: 0 or its own code; 2 with one sentence for a StartupError.

    Only the coroutine may import gRPC: see `disable_grpc_fork_support`.
    """
    disable_grpc_fork_support()
    sys.exit(_exit_code(lambda: uvloop.run(main()) or 0))


def serve(
    settings: SharedSettings,
    assemble: Callable[[Host], None],
    *,
    on_serving: Callable[[Host], None] | None = None,
) -> int:
    """Serves until a signal, in this process or in `server.workers` of them, and returns the exit code.

    Args:
        settings: the process's settings; logging is configured from them.
        assemble: adds the applications to the host; called in the process that serves, inside the loop.
            Only it may import gRPC: see `disable_grpc_fork_support`.
        on_serving: called once, when the host is SERVING; with workers in the first one, when all are.

    Raises:
        StartupError: for an error that an operator can fix; `run_service` and `run` print it and exit with 2.
    """
    disable_grpc_fork_support()
    redactor = Redactor(secrets_of(settings))
    logs.configure(settings.telemetry, redactor)
    settings.on_read(lambda new: redactor.learn(secrets_of(new)))
    context = worker_context()
    if context is not None:
        return uvloop.run(_Worker(settings, assemble, on_serving, context).run())
    if settings.server.workers > 1:
        from clawdbot_servicekit import workers  # only a supervisor needs it

        return asyncio.run(workers.Supervisor(settings, workers.command()).run())
    return uvloop.run(_serve_alone(settings, assemble, on_serving))


def _show_banner(host: Host, application: Application) -> None:
    """What serves where, on stdout; stderr is for the log."""
    address = sockets.target(host.settings.server.host, host.port)
    lines = [f"Clawdbot {application.name.replace('_', ' ')} is serving on {address}"]
    lines.append(f"  {'engine'.ljust(10)}{host.engine}")
    lines += [f"  {label.ljust(10)}{line}" for label, row in application.describe().items() for line in row]
    print("\n".join(lines), flush=True)  # noqa: T201 - for the person at the terminal, not for the log


def _exit_code(main: Callable[[], int]) -> int:
    try:
        return main()
    except StartupError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person at the terminal, not for the log
        return STARTUP_ERROR_CODE
    except KeyboardInterrupt:
        return 0  # before the signal handlers were installed: nothing had started


async def _serve_alone(
    settings: SharedSettings, assemble: Callable[[Host], None], on_serving: Callable[[Host], None] | None
) -> int:
    stop = _Requests(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not the loop's own handlers, which wait until a blocked loop runs again.
        signal.signal(number, stop.on_signal)
    signal.signal(signal.SIGHUP, stop.on_hangup)
    guard.start(settings.server.settle + settings.server.grace)
    await _run_host(settings, assemble, stop, on_serving)
    return 0


class _Requests:
    """What signals or the supervisor have requested. One to stop also limits how long the process lasts."""

    def __init__(self, settings: SharedSettings) -> None:
        self.watchdog = Watchdog()
        self.draining = asyncio.Event()
        self.stopping_now = asyncio.Event()
        self.reloading = asyncio.Event()
        self._terminal = Terminal()
        self._signals = 0
        self._patience = settings.server.settle + settings.server.grace
        self._loop = asyncio.get_running_loop()

    def on_signal(self, *_: object) -> None:
        """The first signal drains, the second ends all calls, any further one ends the process."""
        self._signals += 1
        if self._signals == 1:
            self.drain()
        elif self._signals == 2:
            self.stop_now()
        else:
            self.watchdog.end_within(0)

    def on_hangup(self, *_: object) -> None:
        """SIGHUP reloads, except where it says that the terminal is gone."""
        if self._terminal.gone:
            self.drain()
        else:
            self.reload()

    def reload(self) -> None:
        """Has the host reload."""
        self._set(self.reloading)

    def drain(self) -> None:
        """Drains the host."""
        self.watchdog.end_within(self._patience + FORCE_AFTER)
        self._set(self.draining)

    def stop_now(self) -> None:
        """Ends all calls."""
        self.watchdog.end_within(FORCE_AFTER)
        self._set(self.draining)
        self._set(self.stopping_now)

    def _set(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the process is about to
            self._loop.call_soon_threadsafe(event.set)


async def _run_host(
    settings: SharedSettings,
    assemble: Callable[[Host], None],
    stop: _Requests,
    on_ready: Callable[[Host], None] | None,
) -> None:
    """Starts a host, waits until it is to drain, and stops it."""
    from clawdbot_servicekit.host import Host  # gRPC costs memory, and a supervisor has no use for it

    with settings.locating_errors():
        host = Host(settings)
    stop.watchdog.on_stall = host.metrics.count_stall
    try:
        with settings.locating_errors():
            assemble(host)
            started = await _finishes_before(stop.draining, _start(host))
        if started and on_ready is not None:
            on_ready(host)
        await _finishes_before(stop.draining, _reload_on_request(host, stop))
    finally:
        stop.drain()
        await _stop(host, stop)
        # What is left are threads, and Python would wait for them for ever.
        stop.watchdog.end_within(EXIT_TIMEOUT)


async def _reload_on_request(host: Host, stop: _Requests) -> None:
    while True:
        await stop.reloading.wait()
        stop.reloading.clear()
        await host.reload()


async def _start(host: Host) -> None:
    await host.start()
    await host.ready()
    # What was made at start stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _stop(host: Host, stop: _Requests) -> None:
    """Drains the host; a request to stop now ends the wait."""
    stopping = asyncio.create_task(host.stop())
    if not await _finishes_before(stop.stopping_now, asyncio.shield(stopping)):
        await host.stop()
    await stopping


async def _finishes_before(
    event: asyncio.Event, work: Coroutine[Any, Any, Any] | asyncio.Future[Any]
) -> bool:
    """Whether the work finished before the event was set; otherwise it is cancelled."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        await working
        return True
    finally:
        for each in (working, waiting):
            each.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


class _Worker:
    """A process that a supervisor started: obeys the control channel and sends heartbeats on it."""

    def __init__(
        self,
        settings: SharedSettings,
        assemble: Callable[[Host], None],
        on_serving: Callable[[Host], None] | None,
        context: WorkerContext,
    ) -> None:
        server = settings.server.model_copy(
            update={
                "port": context.port,
                # A Unix socket cannot be shared.
                "socket": settings.server.socket if context.index == 0 else None,
            }
        )
        # The supervisor serves the metrics of all workers.
        telemetry = settings.telemetry.model_copy(update={"metrics_port": None})
        self._settings = settings.model_copy(update={"server": server, "telemetry": telemetry})
        self._assemble = assemble
        self._on_serving = on_serving
        self._context = context
        self._host: Host | None = None

    async def run(self) -> int:
        """Serves until it is told to stop."""
        # The supervisor asks a stuck worker for its stacks.
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        stop = _Requests(self._settings)
        # Ctrl-C and SIGHUP reach every process of the terminal; the supervisor says what to do.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGHUP, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: stop.drain())
        for each in (self._context.descriptor, self._context.configuration):
            os.set_inheritable(each, False)  # not for this process's own children
        channel = await ControlChannel.from_socket(socket.socket(fileno=self._context.descriptor))
        receiving = asyncio.create_task(self._receive(channel, stop))
        beating = asyncio.create_task(self._send_heartbeats(channel))
        try:
            await _run_host(self._settings, self._assemble, stop, lambda host: self._on_ready(host, channel))
        except StartupError as error:
            channel.send(worker_ipc.START_FAILED, str(error))
            return STARTUP_ERROR_CODE
        finally:
            for task in (receiving, beating):
                task.cancel()
            await asyncio.gather(receiving, beating, return_exceptions=True)
            await channel.close()
        return 0

    def _on_ready(self, host: Host, channel: ControlChannel) -> None:
        self._host = host
        channel.send(worker_ipc.READY)

    async def _receive(self, channel: ControlChannel, stop: _Requests) -> None:
        while (message := await channel.receive()) is not None:
            kind, _ = message
            if kind == worker_ipc.ALL_READY and self._on_serving is not None and self._host is not None:
                self._on_serving(self._host)
            elif kind == worker_ipc.RELOAD:
                stop.reload()
            elif kind == worker_ipc.DRAIN:
                stop.drain()
            elif kind == worker_ipc.STOP_NOW:
                stop.stop_now()
        if not stop.draining.is_set():
            structlog.get_logger(__name__).warning("supervisor_gone")
        stop.drain()

    async def _send_heartbeats(self, channel: ControlChannel) -> None:
        while True:
            await asyncio.sleep(worker_ipc.HEARTBEAT_INTERVAL)
            channel.send(worker_ipc.HEARTBEAT)
