"""A service as a process of the operating system: arguments, signals, exit codes, worker processes.

`python -m clawdbot_dialogue` is `run_service(DialogueSettings, build)`; `clawdbot up` is
`serve(settings, assemble)`. Neither returns a traceback for what an operator can mend.
"""

from __future__ import annotations

import argparse
import asyncio
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

from clawdbot_servicekit import logs, worker_ipc
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.redaction import Redactor, secrets_of
from clawdbot_servicekit.settings import SharedSettings, load
from clawdbot_servicekit.settings.environment import worker_seat
from clawdbot_servicekit.worker_ipc import ControlChannel, WorkerContext

if TYPE_CHECKING:
    from clawdbot_servicekit.application import Application, Peers
    from clawdbot_servicekit.host import Host

S = TypeVar("S", bound=SharedSettings)

OPERATOR_ERROR: Final = 2
"""Exit code for what an operator can mend."""

YOUNG_OBJECTS: Final = 10_000
"""Allocations before the collector looks at young objects; Python's 700 is less than a call makes."""


def run_service(settings_cls: type[S], build: Callable[[S, Peers], Application]) -> NoReturn:
    """The whole main() of one service: reads --config and the environment, serves, exits.

    Args:
        settings_cls: the service's settings.
        build: its wiring.build; the peers given to it are reached over the network.
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

        def assemble(host: Host) -> None:
            # Here and not above: a supervisor of workers has no use for gRPC.
            from clawdbot_servicekit.peers import NetworkPeers

            peers = NetworkPeers(settings)
            host.on_stop(peers.close)
            host.add(build(settings, peers))

        return serve(settings, assemble)

    sys.exit(_explained(main))


def run(main: Callable[[], Coroutine[Any, Any, int | None]]) -> NoReturn:
    """Runs a coroutine under uvloop and exits: 0 or its own code; 2 with one sentence for a StartupError."""
    sys.exit(_explained(lambda: uvloop.run(main()) or 0))


def serve(
    settings: SharedSettings,
    assemble: Callable[[Host], None],
    *,
    on_serving: Callable[[Host], None] | None = None,
) -> int:
    """Serves until a signal, in this process or in `server.workers` of them, and returns the exit code.

    Args:
        settings: the process's settings; logging is set up from them.
        assemble: adds the applications to the host; called in the process that serves, inside the loop.
        on_serving: called once, when the host is SERVING; with workers in the first one, when all are.

    Raises:
        StartupError: for what an operator can mend; `run_service` and `run` print it and exit with 2.
    """
    logs.configure(settings.telemetry, Redactor(secrets_of(settings)))
    place = worker_seat()
    if place is not None:
        return uvloop.run(_Worker(settings, assemble, on_serving, place).run())
    if settings.server.workers > 1:
        from clawdbot_servicekit import workers  # only a supervisor needs it

        return asyncio.run(workers.Supervisor(settings, workers.command()).run())
    return uvloop.run(_serve_alone(settings, assemble, on_serving))


def _explained(main: Callable[[], int]) -> int:
    try:
        return main()
    except StartupError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person at the terminal, not for the log
        return OPERATOR_ERROR
    except KeyboardInterrupt:
        return 0  # before the handlers were in place: nothing had begun


async def _serve_alone(
    settings: SharedSettings, assemble: Callable[[Host], None], on_serving: Callable[[Host], None] | None
) -> int:
    orders = _Orders()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.signalled)
    await _live(settings, assemble, orders, on_serving)
    return 0


class _Orders:
    """What this process is told from outside."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.cut = asyncio.Event()

    def signalled(self) -> None:
        """The first signal drains, the second cuts calls off."""
        (self.cut if self.drain.is_set() else self.drain).set()


async def _live(
    settings: SharedSettings,
    assemble: Callable[[Host], None],
    orders: _Orders,
    on_ready: Callable[[Host], None] | None,
) -> None:
    """One host's life: from start to ready, to the order to drain, to the end."""
    from clawdbot_servicekit.host import Host  # gRPC costs a supervisor memory that it has no use for

    host = Host(settings)
    try:
        assemble(host)
        started = await _unless(orders.drain, _start(host))
        if started and on_ready is not None:
            on_ready(host)
        await orders.drain.wait()
    finally:
        await _stop(host, orders)


async def _start(host: Host) -> None:
    await host.start()
    await host.ready()
    # What start-up has made stays for good: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


async def _stop(host: Host, orders: _Orders) -> None:
    """Drains the host; an order to cut ends the wait."""
    stopping = asyncio.create_task(host.stop())
    if not await _unless(orders.cut, asyncio.shield(stopping)):
        await host.stop()
    await stopping


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> bool:
    """Whether the work came to its end before the event; otherwise it is cancelled."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            return False
        await doing
        return True
    finally:
        for each in (doing, waiting):
            each.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)


class _Worker:
    """A process that a supervisor started: takes its orders from the line, and shows signs of life on it."""

    def __init__(
        self,
        settings: SharedSettings,
        assemble: Callable[[Host], None],
        on_serving: Callable[[Host], None] | None,
        place: WorkerContext,
    ) -> None:
        server = settings.server.model_copy(
            update={
                "port": place.port,
                # A Unix socket cannot be shared.
                "socket": settings.server.socket if place.index == 0 else None,
            }
        )
        # The supervisor shows the metrics of all.
        telemetry = settings.telemetry.model_copy(update={"metrics_port": None})
        self._settings = settings.model_copy(update={"server": server, "telemetry": telemetry})
        self._assemble = assemble
        self._on_serving = on_serving
        self._place = place
        self._orders = _Orders()
        self._host: Host | None = None

    async def run(self) -> int:
        """Until ordered to stop."""
        faulthandler.register(
            signal.SIGUSR1, all_threads=True
        )  # the supervisor asks a stuck worker where it is
        loop = asyncio.get_running_loop()
        # Ctrl-C reaches every process of the terminal; the supervisor says what to do.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_signal_handler(signal.SIGTERM, self._orders.drain.set)
        os.set_inheritable(self._place.descriptor, False)  # not for what this process starts
        line = await ControlChannel.over(socket.socket(fileno=self._place.descriptor))
        listening = asyncio.create_task(self._listen(line))
        beating = asyncio.create_task(self._beat(line))
        try:
            await _live(self._settings, self._assemble, self._orders, lambda host: self._ready(host, line))
        except StartupError as error:
            line.say(worker_ipc.FAILED, str(error))
            return OPERATOR_ERROR
        finally:
            for task in (listening, beating):
                task.cancel()
            await asyncio.gather(listening, beating, return_exceptions=True)
            await line.close()
        return 0

    def _ready(self, host: Host, line: ControlChannel) -> None:
        self._host = host
        line.say(worker_ipc.READY)

    async def _listen(self, line: ControlChannel) -> None:
        while (heard := await line.hear()) is not None:
            word, _ = heard
            if word == worker_ipc.ALL_READY and self._on_serving is not None and self._host is not None:
                self._on_serving(self._host)
            elif word == worker_ipc.DRAIN:
                self._orders.drain.set()
            elif word == worker_ipc.CUT:
                self._orders.drain.set()
                self._orders.cut.set()
        if not self._orders.drain.is_set():
            structlog.get_logger(__name__).warning("supervisor_gone")
        self._orders.drain.set()

    async def _beat(self, line: ControlChannel) -> None:
        while True:
            await asyncio.sleep(worker_ipc.BEAT_PERIOD)
            line.say(worker_ipc.BEAT)
