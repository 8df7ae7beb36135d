"""Runs the handler of one call and sends its status.

It does what grpc.aio's server does around a handler, for handlers that are registered in the same way.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from clawdbot_servicekit.caller import Caller
from clawdbot_servicekit.inprocess.context import InProcessContext
from clawdbot_servicekit.inprocess.rpc import Rpc, Status

NOT_FOUND: Final = Status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
CANCELLED: Final = Status(grpc.StatusCode.CANCELLED, "RPC cancelled for unknown reason.")


async def run_handler(handler: Any, rpc: Rpc, caller: Caller, method: str) -> None:
    """Runs until the call has ended for the servicer; raises nothing."""
    if handler is None:
        rpc.finish(NOT_FOUND)
        return
    context = InProcessContext(rpc, caller, handler.request_deserializer, handler.response_serializer)
    try:
        await _run(handler, rpc, context)
    except grpc.aio.AbortError:
        return
    except asyncio.CancelledError:
        if rpc.status is None:
            rpc.finish(CANCELLED)
    except Exception as error:  # noqa: BLE001 - logged and sent as a status, as by grpc.aio's server
        if rpc.status is None:
            structlog.get_logger(__name__).exception("unexpected_error_in_servicer", method=method)
        rpc.finish(
            context.status(grpc.StatusCode.UNKNOWN)._replace(details=f"Unexpected {type(error)}: {error}")
        )
    finally:
        context.run_done_callbacks()


async def _run(handler: Any, rpc: Rpc, context: InProcessContext) -> None:
    request: Any
    if handler.request_streaming:
        request = _requests(context)
    else:
        message = await rpc.requests.get()
        if message is None:
            return  # cancelled before anything was sent
        request = context.decode(message)
    if handler.response_streaming:
        responses = (handler.stream_stream or handler.unary_stream)(request, context)
        await (_write_all(responses, context) if inspect.isasyncgen(responses) else responses)
        context.check()
        rpc.finish(context.status())
    else:
        response = await (handler.stream_unary or handler.unary_unary)(request, context)
        context.check()
        status = context.status()
        rpc.finish(status, context.encode(response) if status.code is grpc.StatusCode.OK else None)


async def _write_all(responses: AsyncGenerator[Any, Any], context: InProcessContext) -> None:
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


async def _requests(context: InProcessContext) -> AsyncIterator[Any]:
    while (request := await context.read()) is not grpc.aio.EOF:
        yield request
