"""The grpcio engine's server: grpc.aio's, and what we do differently.

grpc.aio 1.85 decodes the path of each call in its main loop: one that is not UTF-8 ends the loop and so the
server, and needs no key. So here calls do not reach that loop. gRPC's core compares paths with the registered
methods, and nobody looks at the names of others. It also loses the status of a call that ends while its first
message is on its way: see _Context.

The only module that knows grpc.aio's internals. It uses private ones, so its minor version is pinned, and the
channel contract runs over it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from grpc._cython import cygrpc
from grpc.aio._server import Server
from typing_extensions import override

from clawdbot_servicekit.pipeline.registration import HANDLER_FACTORIES

STATUS_TIMEOUT: Final = 10.0
"""Seconds that a client has to take the status of a call, after the messages before it."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds that clients have to close their connections after the last call has ended."""
UNKNOWN: Final = ""
"""The name of a method that is not registered."""


class GrpcioServer(Server):
    """A grpc.aio.Server that no path can end."""

    def __init__(self, options: Sequence[tuple[str, Any]]) -> None:
        # Instead of the constructor of the base, which would make the server that this one replaces.
        self._loop = asyncio.get_running_loop()
        self._server = _CallSource(self._loop, options)

    @override
    async def stop(self, grace: float | None) -> None:
        """Stops as grpc.aio's does, but does not wait for clients that stay connected without a call."""
        if grace:
            stopping = asyncio.create_task(super().stop(grace))
            quiet = asyncio.create_task(self._server.quiet())
            try:
                await asyncio.wait({stopping, quiet}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                quiet.cancel()
        await super().stop(None)


class _CallSource(cygrpc.AioServer):  # type: ignore[misc]  # no stubs
    """Takes calls from gRPC's core: a task for each method, and one for all unknown ones."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Sequence[tuple[str, Any]]) -> None:
        super().__init__(loop, None, (), (), tuple(options), None)
        self._own_loop = loop
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._resolver = cygrpc._MethodResolver([], self._handlers)  # noqa: SLF001
        self._calls: set[asyncio.Task[None]] = set()

    @override
    def add_registered_method_handlers(
        self, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        safe = {name: _with_whole_first_message(each) for name, each in method_handlers.items()}
        super().add_registered_method_handlers(safe)
        self._handlers.update(safe)

    async def quiet(self) -> None:
        """Returns when clients have had time to close their connections after the last call."""
        while self._calls:
            await asyncio.wait(self._calls)
        await asyncio.sleep(CLOSE_TIMEOUT)

    @override
    def _make_request_call_future(self, method: bytes | None) -> asyncio.Task[None]:
        """What the main loop waits for: a task that ends when the server does.

        The base's own is done with each call, and the loop then touches those of all other methods.
        """
        return self._own_loop.create_task(self._take_calls(method))

    async def _take_calls(self, method: bytes | None) -> None:
        name = UNKNOWN if method is None else method.decode()
        while True:
            if method is None:
                state = await self._request_call()
            else:
                state = await self._request_registered_call(method)
            call = cygrpc._handle_rpc(name, self._resolver, (), state, self._own_loop, False)  # noqa: SLF001
            work = cygrpc._schedule_rpc_coro(call, state, self._own_loop, name)  # noqa: SLF001
            task = self._own_loop.create_task(work)
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)


def _with_whole_first_message(handler: Any) -> Any:
    """The handler, with a _Context if it is a coroutine that writes to its context."""
    streaming = handler.request_streaming, handler.response_streaming
    attribute, make_handler = HANDLER_FACTORIES[streaming]
    method = getattr(handler, attribute)
    if not handler.response_streaming or not inspect.iscoroutinefunction(method):
        return handler

    async def run(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await method(request, _Context(context))

    return make_handler(
        run,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


class _Context:
    """grpc.aio's context of a stream of responses, for a call that may end while a message is on its way.

    With the first message go the headers. If that is cancelled, grpc.aio does not know that it has sent them,
    and sends them again with the status: that fails, and the caller is never told. So it goes on, and the
    status comes after it. A client that reads nothing lets neither pass; it is given up after a while.
    """

    __slots__ = ("_context", "_first", "write")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._first: asyncio.Task[None] | None = None
        self.write = self._write_first

    async def _write_first(self, message: Any) -> None:
        self._first = asyncio.create_task(self._context.write(message))
        self._first.add_done_callback(_retrieve)
        await asyncio.shield(self._first)
        self.write = self._context.write

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        """Ends the call with a status.

        Raises:
            AbortError: after the status was sent.
            CancelledError: if the client does not take it.
        """
        try:
            async with asyncio.timeout(STATUS_TIMEOUT):
                if self._first is not None:
                    await asyncio.wait({self._first})
                await self._context.abort(code, details, trailing_metadata)
        except TimeoutError:
            raise asyncio.CancelledError from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Takes what a task raised. Where the call has ended, nobody else does, and asyncio would log it."""
    if not task.cancelled():
        task.exception()
