"""What every client of the services does with its calls: translates errors, and follows page tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc.aio
from clawdbot_servicekit.error_table import remote_error

R = TypeVar("R")


@contextmanager
def remote_errors() -> Iterator[None]:
    """Raises a failed call as a RemoteError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise remote_error(error) from error


async def paginate(fetch: Callable[[Any], Awaitable[R]], request: Any) -> AsyncIterator[R]:
    """Every page of a list.

    Args:
        fetch: fetches the page that the request names.
        request: for the first page; its page_token is advanced.

    Raises:
        RemoteError: a page cannot be fetched.
    """
    while True:
        with remote_errors():
            page: Any = await fetch(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
