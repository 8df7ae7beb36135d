"""Adapts a servicer's method, in whichever style it is written, to the coroutine that CallHandler runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc.aio

from clawdbot_servicekit.errors import MalformedMessage, NotImplementedYet
from clawdbot_servicekit.pipeline.types import Context, Encode, Handler, Request

Method = Callable[[Any, Context], Any]


async def request_stream(requests: Any, context: Context) -> Any:
    """What a method with a stream of requests takes."""
    del context
    return requests


def single_request(name: str) -> Request:
    """What a method with a single request takes: reads and decodes it now."""

    async def read(requests: Any, context: Context) -> Any:
        del requests
        request = await context.read()
        if request is grpc.aio.EOF:
            raise MalformedMessage(name.lstrip("/"))
        return request

    return read


def decoded_request(decode: Callable[[bytes], Any]) -> Request:
    """What a method with a single request takes, where the engine has read it: decodes it now."""

    async def read(data: bytes, context: Context) -> Any:
        del context
        return decode(data)

    return read


def unary_response(method: Method, name: str, encode: Encode) -> Handler:
    """Adapts a method with a single response, which is encoded later."""
    return method if inspect.iscoroutinefunction(method) else _from_function(method, name, encode)


def streaming_response(method: Method, name: str, encode: Encode) -> Handler:
    """Adapts a method with a stream of responses: an async generator, or a coroutine that writes."""
    if inspect.isasyncgenfunction(method):
        return _from_generator(method, encode)
    if inspect.iscoroutinefunction(method):
        return _from_writer(method, encode)
    return _from_function(method, name, encode)


def _from_writer(method: Method, encode: Encode) -> Handler:
    def run(request: Any, context: Context) -> Awaitable[None]:
        encoding: Any = _EncodingContext(context, encode)
        written: Awaitable[None] = method(request, encoding)
        return written

    return run


class _EncodingContext:
    """A context that encodes what is written, so that an error there ends the call as any other does."""

    __slots__ = ("_context", "_encode")

    def __init__(self, context: Context, encode: Encode) -> None:
        self._context = context
        self._encode = encode

    def write(self, message: Any) -> Awaitable[None]:
        """Sends a message of the response."""
        return self._context.write(self._encode(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _from_generator(method: Callable[[Any, Context], AsyncGenerator[Any, Any]], encode: Encode) -> Handler:
    async def write(request: Any, context: Context) -> None:
        responses = method(request, context)
        try:
            async for response in responses:
                await context.write(encode(response))
        finally:
            # When a caller disconnects, the generator must not wait for the garbage collector to release what
            # it holds.
            await responses.aclose()

    return write


def _from_function(method: Method, name: str, encode: Encode) -> Handler:
    """Adapts a plain function: generated code's default for a missing method, or a decorator's wrapper."""

    async def run(request: Any, context: Context) -> Any:
        try:
            result = method(request, context)
        except NotImplementedError:
            raise NotImplementedYet(name.lstrip("/")) from None
        if isinstance(result, Awaitable):
            return await result
        if inspect.isasyncgen(result):
            await _from_generator(lambda *_: result, encode)(request, context)
            return None
        raise TypeError(f"{name} is neither a coroutine nor an async generator")

    return run
