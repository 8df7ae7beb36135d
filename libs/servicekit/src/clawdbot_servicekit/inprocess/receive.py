"""How a call receives its responses: a single one that is awaited, or a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Final, Self

import grpc
import grpc.aio

from clawdbot_servicekit.inprocess.client_call import STYLES_MIXED, Deserialize, InProcessCall, Serialize
from clawdbot_servicekit.inprocess.rpc import Rpc

GARBAGE_COLLECTED: Final = "Cancelled upon garbage collection!"
"""gRPC's own text."""


class SingleResponseCall(InProcessCall):
    """A call that is awaited. If the awaiting task is cancelled, so is the call."""

    _response: Any = None
    _received = False

    def __init__(self, rpc: Rpc, serialize: Serialize, deserialize: Deserialize) -> None:
        super().__init__(rpc, serialize, deserialize)
        rpc.unary_response = True

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        if not self.done():
            try:
                await self._rpc.wait_status()
            except asyncio.CancelledError:
                self.cancel()
                raise
        await self._raise_for_status()
        if not self._received:
            self._received = True
            message = await self._rpc.responses.get()
            self._response = None if message is None else self._decode(message)
        return self._response


class StreamingResponseCall(InProcessCall):
    """A call whose responses are read or iterated over, but not both."""

    _iterates = _reads = False

    def __aiter__(self) -> Self:
        if self._reads:
            raise grpc.aio.UsageError(STYLES_MIXED)
        self._iterates = True
        return self

    async def __anext__(self) -> Any:
        message = await self._rpc.receive_response()
        if message is None:
            await self._raise_for_status()
            raise StopAsyncIteration
        return self._decode(message)

    async def read(self) -> Any:
        """The next response; grpc.aio.EOF after the last one.

        Raises:
            grpc.aio.AioRpcError: if the call has failed.
        """
        if self.done():
            await self._raise_for_status()
            return grpc.aio.EOF
        if self._iterates:
            raise grpc.aio.UsageError(STYLES_MIXED)
        self._reads = True
        message = await self._rpc.receive_response()
        if message is None:
            await self._raise_for_status()
            return grpc.aio.EOF
        return self._decode(message)

    def __del__(self) -> None:
        # Nobody can read any more: a servicer that waits for its reader would wait forever.
        if hasattr(self, "_rpc") and self._rpc.status is None:
            self._rpc.cancel(GARBAGE_COLLECTED)
