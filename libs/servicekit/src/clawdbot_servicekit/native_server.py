"""The native engine's server: pygrpc-native, and what we do differently.

The only module that knows the package. It uses two of its private methods, so the lock pins the version, and
the channel contract runs over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import grpc
from pygrpc_native import STREAM_CLOSED, STREAM_FULL
from pygrpc_native.aio import Server
from typing_extensions import override

from clawdbot_servicekit.inprocess.server import STOPPED

UNSUPPORTED: Final = ("grpc.max_connection_age_ms", "grpc.max_connection_age_grace_ms")
"""Options that it refuses; server_engine.py has made sure that nobody asked for them."""
IO_THREADS: Final = 1
"""For HTTP/2. One keeps up with several interpreters; the package's two hand each message to each other."""
FLUSH_TIME: Final = 0.1
"""Seconds for replies to be sent after their calls have ended."""
UNAVAILABLE: Final = grpc.StatusCode.UNAVAILABLE.value[0]
FIRST_PAUSE: Final = 0.001
LAST_PAUSE: Final = 0.05
"""Seconds before a message is offered again to a stream whose reader is slow."""


class NativeServer(Server):
    """A grpc.aio.Server whose HTTP/2 and gRPC work runs in Rust."""

    def __init__(self, options: Sequence[tuple[str, Any]]) -> None:
        supported = [each for each in options if each[0] not in UNSUPPORTED]
        super().__init__(options=supported, io_threads=IO_THREADS)

    @override
    async def stop(self, grace: float | None) -> None:
        """Stops as grpc.aio's does: calls end within the grace, which a second call without one ends.

        The package closes its connections with what it has not sent yet. So those that are left get their
        status first, and all that was said has a moment to be sent.
        """
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

    async def _end_calls(self) -> int:
        """Ends the calls that are left with UNAVAILABLE, refuses those that come now; how many were left."""
        self._stopping = True
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
        a dozen slow readers would stop everything else that needs one.
        """
        data = self._encode(call, context, response)
        if data is None:
            return False
        context._initial_sent = True  # noqa: SLF001 - as the method that this one replaces
        front: Any = self._front
        pause = FIRST_PAUSE
        while (sent := front.stream_try_send(call.call_id, data)) == STREAM_FULL:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
        return bool(sent != STREAM_CLOSED)
