"""A small HTTP proxy on a real port: forwards requests in absolute form, and tunnels with CONNECT."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """A running proxy."""

    credentials: str = ""
    """`user:password` that it demands; empty: none."""
    hosts: dict[str, str] = field(default_factory=dict)
    """Names that only the proxy can resolve → host and port behind them."""
    asked: list[str] = field(default_factory=list)
    """Method and target of each request, in order."""
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines) if name}
        self.asked.append(f"{method} {target}")
        self.headers.append(headers)
        expected = f"Basic {base64.b64encode(self.credentials.encode()).decode()}"
        if self.credentials and headers.get("proxy-authorization") != expected:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        place = target if method == "CONNECT" else urlsplit(target).netloc
        host, _, port = self.hosts.get(place.partition(":")[0], place).partition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port or 80))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            # One request per connection, as the simplest proxies do it.
            kept = [each for each in lines if each and not each.lower().startswith("proxy-")]
            begin = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""])
            far_writer.write(begin.encode("latin-1"))
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, far_writer))
                both.create_task(_copy(far_reader, writer))
        finally:
            far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass  # the other side has left
    finally:
        writer.close()


@asynccontextmanager
async def running_proxy(credentials: str = "", **hosts: str) -> AsyncIterator[Proxy]:
    """A proxy on a free port, until the block ends; `hosts` with underscores for dots."""
    proxy = Proxy(credentials, {name.replace("_", "."): place for name, place in hosts.items()})
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
