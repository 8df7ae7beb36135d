"""An HTTP server whose responses a test writes byte by byte."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress

SMALL_BUFFER = 64 * 1024
"""Of what it receives: a large request does not fit."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def raw_server(serve: Serve) -> AsyncIterator[str]:
    """The endpoint of a server that hands over each request's content length, its head having been read."""
    serving: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError), closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await serve(reader, writer, int(head.partition(b"content-length: ")[2].split()[0]))

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    running = await asyncio.start_server(accept, sock=listening)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        running.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)
