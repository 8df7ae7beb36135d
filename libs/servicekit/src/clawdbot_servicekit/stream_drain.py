"""Ends Watch… streams when the server drains.

A drain waits for the calls in flight. A Watch… stream never ends by itself and would delay it until the grace
is over, so it ends at once with UNAVAILABLE, and its caller watches another server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import ShuttingDown
from clawdbot_servicekit.pipeline import HandlerTarget
from clawdbot_servicekit.pipeline.registration import HANDLER_FACTORIES


class StreamDrainServer(HandlerTarget):
    """Passes handlers on to a grpc.aio.Server; methods named Watch… end when the server drains."""

    def __init__(self, server: grpc.aio.Server, draining: asyncio.Event) -> None:
        self._server = server
        self._draining = draining

    @override
    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(
            tuple(_DrainingHandlers(each, self._draining) for each in generic_rpc_handlers)
        )


class _DrainingHandlers(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler, draining: asyncio.Event) -> None:
        self._inner = inner
        self._draining = draining
        self._handlers: dict[str, Any] = {}

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = self._inner.service(handler_call_details)
            if handler is not None and method.rpartition("/")[2].startswith("Watch"):
                handler = _end_on(self._draining, handler)
            if handler is not None:
                self._handlers[method] = handler
        return handler


def _end_on(draining: asyncio.Event, handler: Any) -> Any:
    """The handler of a method with a stream of responses; its calls end when the event is set."""
    attribute, make_handler = HANDLER_FACTORIES[handler.request_streaming, True]
    method = getattr(handler, attribute)

    async def run(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        streaming = asyncio.create_task(method(requests, context))
        drained = asyncio.create_task(draining.wait())
        try:
            await asyncio.wait({streaming, drained}, return_when=asyncio.FIRST_COMPLETED)
            if streaming.done():
                await streaming
                return
        finally:
            streaming.cancel()
            drained.cancel()
            await asyncio.gather(streaming, drained, return_exceptions=True)
        error = ErrorTable({}).describe(ShuttingDown())
        await context.abort(error.code, error.message, error.trailing_metadata())

    return make_handler(
        run,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
