"""A Chat Completions server that closes connections that have been idle for a while, as real servers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.fake_openai import completion

BODY = json.dumps(completion()).encode()


class ClosingServer:
    """Answers every request.

    Args:
        idle_after: seconds after which it closes an idle connection.
        announced: the value of its Keep-Alive header; empty: it sends none.
        lag: seconds from when it gives up a connection until that is noticed, as on a slow network. What is
            sent meanwhile is lost.
    """

    def __init__(self, idle_after: float, announced: str, lag: float) -> None:
        self.url = ""
        self.connections = 0
        """How many were accepted."""
        self.requests = 0
        self.held = 0
        """How many of the next requests are to be there before one of them is answered."""
        self.lag = lag
        self.writers: list[asyncio.StreamWriter] = []
        self.serving: list[asyncio.Task[None]] = []
        self._idle_after = idle_after
        self._all_there = asyncio.Event()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n"
        head += f"keep-alive: {announced}\r\n" if announced else ""
        self._response = f"{head}\r\n".encode() + BODY

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self.serving.append(task)
        idle_after = None  # nothing was answered yet
        with suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            while True:
                async with asyncio.timeout(idle_after):
                    head = await reader.readuntil(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.partition(b":")[2]))
                self.requests += 1
                await self._hold()
                writer.write(self._response)
                idle_after = self._idle_after
        await asyncio.sleep(self.lag)
        writer.close()

    async def _hold(self) -> None:
        if self.held:
            self.held -= 1
            if not self.held:
                self._all_there.set()
            await self._all_there.wait()


@asynccontextmanager
async def closing_server(
    idle_after: float, announced: str = "", lag: float = 0.0
) -> AsyncIterator[ClosingServer]:
    fake = ClosingServer(idle_after, announced, lag)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, backlog=1024)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.close()
        for writer in fake.writers:
            writer.transport.abort()
        for task in fake.serving:
            task.cancel()
        await asyncio.gather(*fake.serving, return_exceptions=True)
