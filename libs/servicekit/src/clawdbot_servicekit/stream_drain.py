"""Streams that never end by themselves, ended when the server drains.

A drain waits for the calls in flight. A Watch… RPC would hold it up to the end of the grace though its caller
only waits for news, so it ends at once with UNAVAILABLE, and its caller watches another server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio

from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.errors import ShuttingDown


class StreamDrainServer:
    """Stands before a grpc.aio.Server and takes wrapped handlers for it."""

    def __init__(self, server: grpc.aio.Server, draining: asyncio.Event) -> None:
        self._server = server
        self._draining = draining

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server's; methods named Watch… end when the server drains."""
        self._server.add_generic_rpc_handlers(
            tuple(_Ending(each, self._draining) for each in generic_rpc_handlers)
        )


class _Ending(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler, draining: asyncio.Event) -> None:
        self._inner = inner
        self._draining = draining
        self._found: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        handler = self._found.get(method)
        if handler is None:
            handler = self._inner.service(handler_call_details)
            if handler is not None and method.rpartition("/")[2].startswith("Watch"):
                handler = _until(handler, self._draining)
            if handler is not None:
                self._found[method] = handler
        return handler


def _until(handler: Any, draining: asyncio.Event) -> Any:
    """The handler of a server-streaming method, ended when the event is set."""
    work = handler.unary_stream

    async def run(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        watching, over = asyncio.create_task(work(request, context)), asyncio.create_task(draining.wait())
        try:
            await asyncio.wait({watching, over}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
                return
        finally:
            watching.cancel()
            over.cancel()
            await asyncio.gather(watching, over, return_exceptions=True)
        told = ErrorTable({}).describe(ShuttingDown())
        await context.abort(told.code, told.message, told.trailing_metadata())

    return grpc.unary_stream_rpc_method_handler(
        run,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
