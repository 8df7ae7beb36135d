"""One request and its response, on a connection of aiohttp's connector.

aiohttp's own session stands between its connector and its parser with what a backend never needs (cookies,
redirects, traces, a task for the body), and takes longer than both of them.
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage, StreamWriter
from multidict import CIMultiDictProxy

from clawdbot_model_gateway.core.spending import note_sent

MAX_HEADER_BYTES: Final = 64 * 1024
"""Of a response header. Security policies have been seen to be longer than aiohttp's 8 kB."""
MAX_HEADERS: Final = 1000
"""Of a response. Each proxy and gateway on the way may add a few."""
INTERIM: Final = frozenset({100, *range(102, 200)})
"""Statuses after which the response follows on the same connection (RFC 9110, 15.2)."""
UNKNOWN_TYPE: Final = "application/octet-stream"
"""Where the backend names none (RFC 9110, 8.3)."""
ONE_WRITE: Final = 64 * 1024
"""Bytes of a body that is copied, so that the system is called once for it and the headers."""


class NotSent(aiohttp.ServerDisconnectedError):
    """The connection was closed before anything was sent."""


class Response:
    """A response whose headers have arrived. Its connection is free once its content has been read."""

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: aiohttp.StreamReader
    ) -> None:
        self.status = message.code
        self.headers: CIMultiDictProxy[str] = message.headers
        self.content = content
        self._connection = connection
        # At once if the content has arrived with the headers.
        content.on_eof(self.release)

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.headers.get("content-type", UNKNOWN_TYPE).partition(";")[0].strip().lower()

    def limit_silence(self, seconds: float) -> None:
        """Has the connection break when nothing arrives for longer than this, from now on."""
        protocol = self._connection.protocol
        if protocol is not None and protocol.read_timeout != seconds:
            protocol.read_timeout = seconds
            # The one that runs has the timeout for the first byte.
            protocol.start_timeout()

    def release(self) -> None:
        """Keeps the connection for another request, if request and content are through."""
        protocol = self._connection.protocol
        if protocol is None:
            return
        if protocol.transport is not None and protocol.transport.get_write_buffer_size():
            self.close()
            return
        # An idle connection is silent.
        protocol.read_timeout = None
        protocol.start_timeout()
        self._connection.release()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


async def exchange(
    connection: Connection, head: bytes, body: bytes | None, *, read_timeout: float
) -> Response:
    """Sends a request and waits for the headers of its response.

    Args:
        connection: which is the response's from then on, and closed where there is none.
        head: request line and headers, up to those of the body.
        body: None if the method has none.
        read_timeout: seconds without data from the backend, once it has the whole request.

    Raises:
        NotSent: the connection is closed, and the backend has received nothing.
        ClientError, HttpProcessingError: there was no response.
    """
    try:
        protocol = connection.protocol
        if protocol is None or protocol.transport is None or protocol.transport.is_closing():
            raise NotSent
        protocol.set_response_params(
            read_until_eof=True,
            read_timeout=read_timeout,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )
        if body is not None:
            note_sent(True)
        _write(protocol.transport, head, body)
        message, content = await _response_of(protocol)
        while message.code in INTERIM:
            message, content = await _response_of(protocol)
    except BaseException:
        connection.close()
        raise
    return Response(connection, message, content)


def _write(transport: asyncio.Transport, head: bytes, body: bytes | None) -> None:
    if body is None:
        transport.write(head + b"\r\n")
        return
    head += b"content-length: %d\r\n\r\n" % len(body)
    if len(body) <= ONE_WRITE:
        transport.write(head + body)
    else:
        transport.write(head)
        transport.write(body)


async def _response_of(protocol: ResponseHandler) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    if not protocol.writing_paused:
        protocol.start_timeout()
        return await protocol.read()
    # A backend may answer before it has the whole of a large body.
    sending = asyncio.create_task(_send_rest(protocol))
    try:
        return await protocol.read()
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def _send_rest(protocol: ResponseHandler) -> None:
    try:
        await StreamWriter(protocol, asyncio.get_running_loop()).drain()
    except (aiohttp.ClientError, OSError):
        return  # The one that waits for the response learns of it, too.
    if protocol.transport is not None:
        protocol.start_timeout()
