"""grpc.aio.Channel to an InProcessServer in the same loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc
import grpc.aio

from clawdbot_servicekit.inprocess.client_call import Deserialize, Serialize
from clawdbot_servicekit.inprocess.receive import ManyReplies, OneReply
from clawdbot_servicekit.inprocess.rpc import Rpc
from clawdbot_servicekit.inprocess.send import ManyRequests, OneRequest
from clawdbot_servicekit.inprocess.server import InProcessServer


class UnaryUnaryCall(OneRequest, OneReply, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one reply."""


class UnaryStreamCall(OneRequest, ManyReplies, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, a stream of replies."""


class StreamUnaryCall(ManyRequests, OneReply, grpc.aio.StreamUnaryCall[Any, Any]):
    """A stream of requests, one reply."""


class StreamStreamCall(ManyRequests, ManyReplies, grpc.aio.StreamStreamCall[Any, Any]):
    """A stream of requests and a stream of replies."""


class InProcessChannel(grpc.aio.Channel):
    """A channel that needs no socket: `InProcessChannel(server)`, then `await channel.close(grace)`."""

    def __init__(self, server: InProcessServer) -> None:
        self._server = server
        self._calls: set[Rpc] = set()
        self._closed = asyncio.Event()

    def unary_unary(
        self,
        method: str,
        request_serializer: Serialize = None,
        response_deserializer: Deserialize = None,
        _registered_method: bool = False,
    ) -> Any:
        """As grpc.aio.Channel's."""
        return _Method(self, UnaryUnaryCall, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serialize = None,
        response_deserializer: Deserialize = None,
        _registered_method: bool = False,
    ) -> Any:
        """As grpc.aio.Channel's."""
        return _Method(self, UnaryStreamCall, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serialize = None,
        response_deserializer: Deserialize = None,
        _registered_method: bool = False,
    ) -> Any:
        """As grpc.aio.Channel's."""
        return _Method(self, StreamUnaryCall, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serialize = None,
        response_deserializer: Deserialize = None,
        _registered_method: bool = False,
    ) -> Any:
        """As grpc.aio.Channel's."""
        return _Method(self, StreamStreamCall, method, request_serializer, response_deserializer)

    def begin(self, method: str, metadata: Any, timeout: float | None) -> Rpc:
        """Begins a call on this channel. For its methods.

        Raises:
            grpc.aio.UsageError: when the channel is closed.
        """
        if self._closed.is_set():
            raise grpc.aio.UsageError("Channel is closed.")
        exchange = self._server.begin(method, metadata, timeout)
        self._calls.add(exchange)
        exchange.on_end(lambda: self._calls.discard(exchange))
        return exchange

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """READY, and SHUTDOWN when closed."""
        del try_to_connect
        closed = self._closed.is_set()
        return grpc.ChannelConnectivity.SHUTDOWN if closed else grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the state is another one."""
        if last_observed_state is self.get_state():
            await self._closed.wait()

    async def channel_ready(self) -> None:
        """Returns at once."""

    async def close(self, grace: float | None = None) -> None:
        """Takes no new calls, and cancels what has not ended after the grace in seconds."""
        self._closed.set()
        if grace and self._calls:
            ends = [asyncio.ensure_future(each.ended()) for each in self._calls]
            _, late = await asyncio.wait(ends, timeout=grace)
            for each in late:
                each.cancel()
        for exchange in tuple(self._calls):
            exchange.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Method:
    """A method of the server, as the stub calls it."""

    def __init__(
        self,
        channel: InProcessChannel,
        kind: Callable[[Rpc, Serialize, Deserialize], Any],
        method: str,
        serialize: Serialize,
        deserialize: Deserialize,
    ) -> None:
        self._begin = channel.begin
        self._kind = kind
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize

    def __call__(  # noqa: PLR0917 - as grpc.aio's
        self,
        request: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """As the grpc.aio multi-callable's; credentials and what is about connections mean nothing here."""
        del credentials, wait_for_ready, compression
        call = self._kind(self._begin(self._method, metadata, timeout), self._serialize, self._deserialize)
        try:
            call.send(request)
        except BaseException:
            call.cancel()
            raise
        return call
