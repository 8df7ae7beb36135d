"""A servicer's method, in whichever style it is written, as the one coroutine that a path runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from clawdbot_servicekit.errors import NotImplementedYet
from clawdbot_servicekit.pipeline.types import Context, Work

Method = Callable[[Any, Context], Any]


def replying(method: Method, name: str) -> Work:
    """A method with a single reply."""
    return method if inspect.iscoroutinefunction(method) else _awaiting(method, name)


def streaming(method: Method, name: str) -> Work:
    """A method with a stream of replies: an async generator, or a coroutine that calls context.write."""
    if inspect.isasyncgenfunction(method):
        return _writing(method)
    return method if inspect.iscoroutinefunction(method) else _awaiting(method, name)


def _writing(method: Callable[[Any, Context], AsyncGenerator[Any, Any]]) -> Work:
    async def write(request: Any, context: Context) -> None:
        replies = method(request, context)
        try:
            async for reply in replies:
                await context.write(reply)
        finally:
            # A caller that leaves must not leave the generator, and what it holds, to the garbage collector.
            await replies.aclose()

    return write


def _awaiting(method: Method, name: str) -> Work:
    """A plain function: what generated code has where the servicer has nothing, or a decorator's."""

    async def run(request: Any, context: Context) -> Any:
        try:
            answer = method(request, context)
        except NotImplementedError:
            raise NotImplementedYet(name.lstrip("/")) from None
        if isinstance(answer, Awaitable):
            return await answer
        if inspect.isasyncgen(answer):
            await _writing(lambda *_: answer)(request, context)
            return None
        raise TypeError(f"{name} is neither a coroutine nor an async generator")

    return run
