"""The client's side of a call: what a generated stub returns, with the interface of grpc.aio.

Each of the four kinds combines a way to send requests (send) with a way to receive responses (receive).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio
from typing_extensions import override

from clawdbot_servicekit.inprocess.rpc import Rpc, Status

STYLES_MIXED: Final = "The iterator and read/write APIs may not be mixed on a single RPC."
"""gRPC's own text."""

Serialize = Callable[[Any], bytes]
Deserialize = Callable[[bytes], Any]


class InProcessCall(grpc.aio.Call):
    """What the four kinds have in common."""

    def __init__(self, rpc: Rpc, serialize: Serialize, deserialize: Deserialize) -> None:
        self._rpc = rpc
        self._encode = serialize
        self._decode = deserialize

    @override
    def cancelled(self) -> bool:
        status = self._rpc.status
        return status is not None and status.code is grpc.StatusCode.CANCELLED

    @override
    def done(self) -> bool:
        return self._rpc.status is not None

    @override
    def time_remaining(self) -> float | None:
        return self._rpc.remaining()

    @override
    def cancel(self) -> bool:
        return self._rpc.cancel()

    @override
    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._rpc.add_done_callback(lambda: callback(self))

    @override
    async def initial_metadata(self) -> grpc.aio.Metadata:
        return _metadata(await self._rpc.wait_initial_metadata())

    @override
    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return _metadata((await self._rpc.wait_status()).trailing)

    @override
    async def code(self) -> grpc.StatusCode:
        return (await self._rpc.wait_status()).code

    @override
    async def details(self) -> str:
        return (await self._rpc.wait_status()).details

    async def debug_error_string(self) -> str:
        """Empty: there is no transport that could fail."""
        await self._rpc.wait_status()
        return ""

    @override
    async def wait_for_connection(self) -> None:
        """Returns at once, as the server is always there; raises AioRpcError if the call has failed."""
        if self.done():
            await self._raise_for_status()

    def __repr__(self) -> str:
        status = self._rpc.status
        return f"<{type(self).__name__} {status.code.name if status else 'running'}>"

    async def _raise_for_status(self) -> None:
        status = await self._rpc.wait_status()
        if self._rpc.cancelled_locally:
            raise asyncio.CancelledError
        if status.code is not grpc.StatusCode.OK:
            raise self._error(status)

    def _error(self, status: Status) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(
            status.code,
            _metadata(self._rpc.initial),
            _metadata(status.trailing),
            details=status.details,
            debug_error_string="",
        )


def _metadata(pairs: Any) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(*(pairs or ()))
