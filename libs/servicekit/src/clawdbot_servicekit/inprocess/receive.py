"""How a call receives its responses: a single one that is awaited, or a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any, Final

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

    _iterator: AsyncGenerator[Any, None] | None = None
    _reads = False

    def __aiter__(self) -> AsyncGenerator[Any, None]:
        if self._reads:
            raise grpc.aio.UsageError(STYLES_MIXED)
        if self._iterator is None:
            self._iterator = self._iterate()
        return self._iterator

    async def read(self) -> Any:
        """The next response; grpc.aio.EOF after the last one.

        Raises:
            grpc.aio.AioRpcError: if the call has failed.
        """
        if self.done():
            await self._raise_for_status()
            return grpc.aio.EOF
        if self._iterator is not None:
            raise grpc.aio.UsageError(STYLES_MIXED)
        self._reads = True
        message = await self._receive()
        if message is None:
            await self._raise_for_status()
            return grpc.aio.EOF
        return self._decode(message)

    async def _iterate(self) -> AsyncGenerator[Any, None]:
        while (message := await self._receive()) is not None:
            yield self._decode(message)
        await self._raise_for_status()

    async def _receive(self) -> bytes | None:
        try:
            return await self._rpc.receive_response()
        except asyncio.CancelledError:
            self.cancel()
            raise

    def __del__(self) -> None:
        # Nobody can read any more: a servicer that waits for its reader would wait forever.
        if hasattr(self, "_rpc") and self._rpc.status is None:
            self._rpc.cancel(GARBAGE_COLLECTED)
