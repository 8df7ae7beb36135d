"""The native engine's server: pygrpc-native, and what we do differently.

The only module that knows the package. It uses private parts of it, so the version is pinned, and the channel
contract runs over it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import grpc
from pygrpc_native import STREAM_CLOSED, STREAM_FULL
from pygrpc_native.aio import Server
from typing_extensions import override

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.inprocess.server import STOPPED

UNSUPPORTED: Final = ("grpc.max_connection_age_ms", "grpc.max_connection_age_grace_ms")
"""Options that it refuses; server_engine.py has made sure that nobody asked for them."""
IO_THREADS: Final = 1
"""For HTTP/2. One keeps up with several interpreters; the package's two hand each message to each other."""
BACKLOG: Final = 4096
"""Connections that wait to be accepted. Of the package's 128 a burst takes more, and a client that finds no
place tries again only after a second."""
DESCRIPTORS: Final = Path("/dev/fd")
SOCKETS: Final = "pygrpc-native-*/fallback.sock"
"""Of each server, among the temporary files: where it passes on what it leaves to grpcio."""
ABANDONED_AFTER: Final = 60.0
"""Seconds: a younger socket may belong to a server that starts at this moment, and does not listen yet."""
FLUSH_TIME: Final = 0.1
"""Seconds for replies to be sent after their calls have ended."""
UNAVAILABLE: Final = grpc.StatusCode.UNAVAILABLE.value[0]
DEADLINE_EXCEEDED: Final = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
FIRST_PAUSE: Final = 0.001
LAST_PAUSE: Final = 1.0
"""Seconds before a message is offered again to a slow reader: at most as long as it has waited so far, and so
seldom that thousands of readers that never read cost little."""


class NativeServer(Server):
    """A grpc.aio.Server whose HTTP/2 and gRPC work runs in Rust."""

    def __init__(self, options: Sequence[tuple[str, Any]]) -> None:
        supported = [each for each in options if each[0] not in UNSUPPORTED]
        super().__init__(options=supported, io_threads=IO_THREADS)
        self._listeners: Sequence[int] = ()

    @override
    def add_insecure_port(self, address: str) -> int:
        port = super().add_insecure_port(address)
        self._listeners = tuple(_listening_on(port))
        for descriptor in self._listeners:
            with socket.socket(fileno=os.dup(descriptor)) as listener:
                listener.listen(BACKLOG)
        return port

    @override
    async def start(self) -> None:
        _remove_abandoned_sockets()
        try:
            await super().start()
        except (OSError, RuntimeError):
            raise StartupError(
                "The native engine cannot make a socket among the temporary files. Name a folder in TMPDIR, "
                "with a path of at most 69 bytes, or set server.engine to grpcio."
            ) from None

    @override
    async def stop(self, grace: float | None) -> None:
        """Stops as grpc.aio's does: calls end within the grace, which a second call without one ends.

        The package listens to the end, and closes its connections with what it has not sent yet. So new ones
        are refused here, calls that are left get their status first, and all that was said has a moment to be
        sent.
        """
        self._refuse_connections()
        if grace:
            tasks = [call.task for call in self._calls.values() if call.task is not None]
            fallback = [] if self._fallback is None else [asyncio.create_task(self._fallback.stop(grace))]
            if tasks or fallback:
                await asyncio.wait([*tasks, *fallback], timeout=grace)
        if await self._end_calls() or grace:
            await asyncio.sleep(FLUSH_TIME)
        # The package would wait for an earlier call of `stop`, which may have been cancelled.
        self._stopping = False
        await super().stop(None)

    def _refuse_connections(self) -> None:
        """Closes the listening socket under the package: its descriptor becomes one where nobody connects."""
        # A process that has no descriptor left accepts no connections anyway.
        with suppress(OSError):
            for descriptor in self._listeners:
                with socket.create_server(("127.0.0.1", 0), backlog=1) as unused:
                    unused.setblocking(False)
                    os.dup2(unused.fileno(), descriptor, inheritable=False)
        self._listeners = ()

    async def _end_calls(self) -> int:
        """Ends the calls that are left with UNAVAILABLE; how many there were."""
        front: Any = self._front
        left = {call.call_id: call.task for call in self._calls.values() if call.task is not None}
        for call_id, task in left.items():
            front.fail(call_id, UNAVAILABLE, STOPPED)
            task.cancel()
        await asyncio.gather(*left.values(), return_exceptions=True)
        return len(left)

    @override
    async def _send(self, call: Any, context: Any, response: Any) -> bool:
        """Sends a message of a stream; whether it still has a reader.

        The package's own method waits for a slow reader in a thread of the loop's executor, which has few:
        a dozen slow readers would stop everything else that needs one. It also looks at the caller's deadline
        only when the caller takes something.
        """
        data = self._encode(call, context, response)
        if data is None:
            return False
        context._initial_sent = True  # noqa: SLF001 - as the method that this one replaces
        front: Any = self._front
        pause = FIRST_PAUSE
        while (sent := front.stream_try_send(call.call_id, data)) == STREAM_FULL:
            if call.deadline is not None and time.monotonic() >= call.deadline:
                front.fail(call.call_id, DEADLINE_EXCEEDED, "Deadline Exceeded")
                call.cancel()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
        return bool(sent != STREAM_CLOSED)


def _remove_abandoned_sockets() -> None:
    """Removes the folders of processes that were killed; nobody listens there any more."""
    for path in Path(tempfile.gettempdir()).glob(SOCKETS):
        # Those of other users cannot be opened.
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            if time.time() - path.stat().st_mtime < ABANDONED_AFTER:
                continue
            client.setblocking(False)
            try:
                client.connect(str(path))
            except ConnectionRefusedError:
                shutil.rmtree(path.parent, ignore_errors=True)


def _listening_on(port: int) -> Iterator[int]:
    """The descriptors of this process that listen on the TCP port; none if the system does not list them."""
    listed = DESCRIPTORS.iterdir() if DESCRIPTORS.is_dir() else ()
    for descriptor in [int(each.name) for each in listed]:
        try:
            each = socket.socket(fileno=descriptor)
        except OSError:
            continue  # not a socket, or the folder's own, which is closed now
        try:
            internet = each.family in (socket.AF_INET, socket.AF_INET6)
            listens = internet and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and each.getsockname()[1] == port:
                yield descriptor
        finally:
            each.detach()
