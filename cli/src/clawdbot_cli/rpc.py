"""What every client of the services does with its calls: failures as sentences, lists page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc.aio
from clawdbot_servicekit.error_table import remote_error

R = TypeVar("R")


@contextmanager
def faults() -> Iterator[None]:
    """A failed call becomes a RemoteError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise remote_error(error) from error


async def pages(ask: Callable[[Any], Awaitable[R]], request: Any) -> AsyncIterator[R]:
    """Every page of a list. RemoteError where one cannot be had.

    Args:
        ask: gets the page that the request names.
        request: for the first page; its page_token is moved on.
    """
    while True:
        with faults():
            page: Any = await ask(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
