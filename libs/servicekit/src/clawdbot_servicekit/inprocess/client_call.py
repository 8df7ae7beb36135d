"""The client's half of a call: what a generated stub hands back, as grpc.aio's own.

Each of the four kinds is put together from how requests go out (requests) and how replies come in (replies).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio

from clawdbot_servicekit.inprocess.rpc import Rpc, Status

STYLES_MIXED: Final = "The iterator and read/write APIs may not be mixed on a single RPC."

Serialize = Callable[[Any], bytes] | None
Deserialize = Callable[[bytes], Any] | None


class InProcessCall(grpc.aio.Call):
    """What the four kinds have in common: the end of a call, and how to bring it about."""

    def __init__(self, exchange: Rpc, serialize: Serialize, deserialize: Deserialize) -> None:
        self._exchange = exchange
        self._serialize = serialize
        self._deserialize = deserialize

    def cancelled(self) -> bool:
        """Whether it has ended with CANCELLED."""
        status = self._exchange.status
        return status is not None and status.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Whether it has ended."""
        return self._exchange.status is not None

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return self._exchange.remaining()

    def cancel(self) -> bool:
        """Ends the call and the servicer's task; False when it has ended already."""
        return self._exchange.cancel()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Has something called with this call at its end; at once when it has ended."""
        self._exchange.on_end(lambda: callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """The server's, when they have come."""
        return _metadata(await self._exchange.opened())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """The server's, at the end."""
        return _metadata((await self._exchange.ended()).trailing)

    async def code(self) -> grpc.StatusCode:
        """The status, at the end."""
        return (await self._exchange.ended()).code

    async def details(self) -> str:
        """The sentence beside the status, at the end."""
        return (await self._exchange.ended()).details

    async def debug_error_string(self) -> str:
        """Empty: there is no transport that could fail."""
        await self._exchange.ended()
        return ""

    async def wait_for_connection(self) -> None:
        """Returns at once, as the server is always there; raises AioRpcError when the call has failed."""
        if self.done():
            await self._raise_for_status()

    def __repr__(self) -> str:
        status = self._exchange.status
        return f"<{type(self).__name__} {status.code.name if status else 'running'}>"

    def _encoded(self, message: Any) -> bytes:
        data: bytes = message if self._serialize is None else self._serialize(message)
        return data

    def _decoded(self, message: bytes) -> Any:
        return message if self._deserialize is None else self._deserialize(message)

    async def _raise_for_status(self) -> None:
        status = await self._exchange.ended()
        if self._exchange.cancelled_here:
            raise asyncio.CancelledError
        if status.code is not grpc.StatusCode.OK:
            raise self._error(status)

    def _error(self, status: Status) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(
            status.code,
            _metadata(self._exchange.initial),
            _metadata(status.trailing),
            details=status.details,
            debug_error_string="",
        )


def _metadata(pairs: Any) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(*(pairs or ()))
