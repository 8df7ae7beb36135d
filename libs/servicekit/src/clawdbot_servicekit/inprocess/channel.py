"""A grpc.aio.Channel to an InProcessServer in the same event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import grpc
import grpc.aio
from typing_extensions import override

from clawdbot_servicekit.inprocess.client_call import Deserialize, Serialize
from clawdbot_servicekit.inprocess.receive import SingleResponseCall, StreamingResponseCall
from clawdbot_servicekit.inprocess.rpc import Rpc, unchanged
from clawdbot_servicekit.inprocess.send import SingleRequestCall, StreamingRequestCall
from clawdbot_servicekit.inprocess.server import InProcessServer


class UnaryUnaryCall(SingleRequestCall, SingleResponseCall, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one response."""


class UnaryStreamCall(SingleRequestCall, StreamingResponseCall, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, a stream of responses."""


class StreamUnaryCall(StreamingRequestCall, SingleResponseCall, grpc.aio.StreamUnaryCall[Any, Any]):
    """A stream of requests, one response."""


class StreamStreamCall(StreamingRequestCall, StreamingResponseCall, grpc.aio.StreamStreamCall[Any, Any]):
    """A stream of requests and a stream of responses."""


class InProcessChannel(grpc.aio.Channel):
    """A channel without a socket: `InProcessChannel(server)`, then `await channel.close(grace)`."""

    def __init__(self, server: InProcessServer) -> None:
        self._server = server
        self._rpcs: set[Rpc] = set()
        self._closed = asyncio.Event()

    @override
    def unary_unary(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _MultiCallable(self, UnaryUnaryCall, method, request_serializer, response_deserializer)

    @override
    def unary_stream(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _MultiCallable(self, UnaryStreamCall, method, request_serializer, response_deserializer)

    @override
    def stream_unary(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _MultiCallable(self, StreamUnaryCall, method, request_serializer, response_deserializer)

    @override
    def stream_stream(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _MultiCallable(self, StreamStreamCall, method, request_serializer, response_deserializer)

    def start_call(self, method: str, metadata: Any, timeout: float | None) -> Rpc:
        """Starts a call on this channel. For its multi-callables.

        Raises:
            grpc.aio.UsageError: if the channel is closed.
        """
        if self._closed.is_set():
            raise grpc.aio.UsageError("Channel is closed.")
        rpc = self._server.start_call(method, metadata, timeout)
        self._rpcs.add(rpc)
        rpc.add_done_callback(lambda: self._rpcs.discard(rpc))
        return rpc

    @override
    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """READY, and SHUTDOWN when closed."""
        del try_to_connect
        closed = self._closed.is_set()
        return grpc.ChannelConnectivity.SHUTDOWN if closed else grpc.ChannelConnectivity.READY

    @override
    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        if last_observed_state is self.get_state():
            await self._closed.wait()

    @override
    async def channel_ready(self) -> None:
        """Returns at once."""

    @override
    async def close(self, grace: float | None = None) -> None:
        """Accepts no new calls, and cancels those that have not ended after the grace in seconds."""
        self._closed.set()
        if grace and self._rpcs:
            waiting = [asyncio.ensure_future(each.wait_status()) for each in self._rpcs]
            _, unfinished = await asyncio.wait(waiting, timeout=grace)
            for each in unfinished:
                each.cancel()
        for rpc in tuple(self._rpcs):
            rpc.cancel()

    @override
    async def __aenter__(self) -> Self:
        return self

    @override
    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _MultiCallable:
    """A method of the server, as a stub calls it."""

    def __init__(
        self,
        channel: InProcessChannel,
        kind: Callable[[Rpc, Serialize, Deserialize], Any],
        method: str,
        serialize: Serialize | None,
        deserialize: Deserialize | None,
    ) -> None:
        self._start_call = channel.start_call
        self._kind = kind
        self._method = method
        self._serialize = serialize or unchanged
        self._deserialize = deserialize or unchanged

    def __call__(  # noqa: PLR0917 - as grpc.aio's
        self,
        request: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Calls the method, as a grpc.aio multi-callable does. Options about connections have no effect."""
        del credentials, wait_for_ready, compression
        rpc = self._start_call(self._method, metadata, timeout)
        call = self._kind(rpc, self._serialize, self._deserialize)
        try:
            call.send(request)
        except BaseException:
            call.cancel()
            raise
        return call
