"""How replies come in: one that is awaited, or a stream that is read or iterated over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any, Final

import grpc
import grpc.aio

from clawdbot_servicekit.inprocess.client_call import STYLES_MIXED, Deserialize, InProcessCall, Serialize
from clawdbot_servicekit.inprocess.rpc import Rpc

FORGOTTEN: Final = "Cancelled upon garbage collection!"
"""As gRPC says it."""


class OneReply(InProcessCall):
    """A call that is awaited. Whoever is cancelled while awaiting it cancels it."""

    _reply: Any = None
    _taken = False

    def __init__(self, exchange: Rpc, serialize: Serialize, deserialize: Deserialize) -> None:
        super().__init__(exchange, serialize, deserialize)
        exchange.single = True

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        if not self.done():
            try:
                await self._exchange.ended()
            except asyncio.CancelledError:
                self.cancel()
                raise
        await self._raise_for_status()
        if not self._taken:
            self._taken = True
            message = await self._exchange.replies.pop()
            self._reply = None if message is None else self._decoded(message)
        return self._reply


class ManyReplies(InProcessCall):
    """A call whose replies are read, or iterated over, but not both."""

    _replies: AsyncGenerator[Any, None] | None = None
    _reads = False

    def __aiter__(self) -> AsyncGenerator[Any, None]:
        if self._reads:
            raise grpc.aio.UsageError(STYLES_MIXED)
        if self._replies is None:
            self._replies = self._iterate()
        return self._replies

    async def read(self) -> Any:
        """The next reply; grpc.aio.EOF after the last one.

        Raises:
            grpc.aio.AioRpcError: when the call has failed.
        """
        if self.done():
            await self._raise_for_status()
            return grpc.aio.EOF
        if self._replies is not None:
            raise grpc.aio.UsageError(STYLES_MIXED)
        self._reads = True
        message = await self._receive()
        if message is None:
            await self._raise_for_status()
            return grpc.aio.EOF
        return self._decoded(message)

    async def _iterate(self) -> AsyncGenerator[Any, None]:
        while (message := await self._receive()) is not None:
            yield self._decoded(message)
        await self._raise_for_status()

    async def _receive(self) -> bytes | None:
        try:
            return await self._exchange.receive()
        except asyncio.CancelledError:
            self.cancel()
            raise

    def __del__(self) -> None:
        # Nobody is left to read: a servicer that waits for its reader would wait for ever.
        if hasattr(self, "_exchange") and self._exchange.status is None:
            self._exchange.cancel(FORGOTTEN)
