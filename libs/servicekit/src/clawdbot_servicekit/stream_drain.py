"""Ends Watch… streams when the server drains.

A drain waits for the calls in flight. A Watch… stream never ends by itself and would delay it until the grace
is over, so it ends at once with UNAVAILABLE, and its caller watches another server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import ShuttingDown
from clawdbot_servicekit.pipeline import HandlerTarget
from clawdbot_servicekit.pipeline.registration import HANDLER_FACTORIES


class StreamDrain(HandlerTarget):
    """Passes handlers on to a server; methods named Watch… end when it drains."""

    def __init__(self, server: HandlerTarget, draining: asyncio.Event) -> None:
        self._server = server
        self._draining = draining
        self.reads_requests = server.reads_requests

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        ending = {
            name: _end_on(self._draining, handler) if name.startswith("Watch") else handler
            for name, handler in method_handlers.items()
        }
        self._server.add_registered_method_handlers(service_name, ending)


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
