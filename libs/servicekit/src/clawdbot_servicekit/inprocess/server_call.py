"""The server's half of a call: runs the handler in a task and ends the call with its status.

What grpc.aio's server does around a handler, for handlers as they are registered there.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from clawdbot_servicekit.caller import Caller
from clawdbot_servicekit.inprocess.context import InProcessContext
from clawdbot_servicekit.inprocess.rpc import Rpc, Status

NOT_FOUND: Final = Status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
STRAY: Final = Status(grpc.StatusCode.CANCELLED, "RPC cancelled for unknown reason.")


async def serve(handler: Any, exchange: Rpc, caller: Caller, method: str) -> None:
    """Until the call has ended for the servicer; raises nothing."""
    if handler is None:
        exchange.answer(NOT_FOUND)
        return
    context = InProcessContext(exchange, caller, handler.request_deserializer, handler.response_serializer)
    try:
        await _run(handler, exchange, context)
    except grpc.aio.AbortError:
        return
    except asyncio.CancelledError:
        if exchange.status is None:
            exchange.answer(STRAY)
    except Exception as error:  # noqa: BLE001 - logged and told, as by grpc.aio's server
        if exchange.status is None:
            structlog.get_logger(__name__).exception("unexpected_error_in_servicer", method=method)
        exchange.answer(
            context.status(grpc.StatusCode.UNKNOWN)._replace(details=f"Unexpected {type(error)}: {error}")
        )
    finally:
        context.call_back()


async def _run(handler: Any, exchange: Rpc, context: InProcessContext) -> None:
    request: Any
    if handler.request_streaming:
        request = _requests(context)
    else:
        message = await exchange.requests.pop()
        if message is None:
            return  # cancelled before anything was sent
        request = context.decoded(message)
    if handler.response_streaming:
        await _stream(handler.stream_stream or handler.unary_stream, request, context)
        context.check()
        exchange.answer(context.status())
    else:
        reply = await (handler.stream_unary or handler.unary_unary)(request, context)
        context.check()
        status = context.status()
        exchange.answer(status, context.encoded(reply) if status.code is grpc.StatusCode.OK else None)


async def _stream(method: Any, request: Any, context: InProcessContext) -> None:
    if inspect.isasyncgenfunction(method):
        async with aclosing(method(request, context)) as replies:
            async for reply in replies:
                await context.write(reply)
    else:
        await method(request, context)


async def _requests(context: InProcessContext) -> AsyncIterator[Any]:
    while (request := await context.read()) is not grpc.aio.EOF:
        yield request
