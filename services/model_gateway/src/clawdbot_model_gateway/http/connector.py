"""aiohttp's connectors, careful about which idle connection they use again.

A server closes idle connections by its own clock. A request that is sent at that moment is lost, and a POST
is never sent twice. So a connection is left alone before the server's time is over, and where its end has
already arrived. The connection that was used last is used first, so that the others can go.

The server's time is what its Keep-Alive header says. Where it sends none, it shows: a connection that was
found ended was idle for too long.
"""

from __future__ import annotations

import re
import select
import time
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from typing_extensions import override

SERVER_TIMEOUT: Final = re.compile(r"(?i)\btimeout\s*=\s*(\d{1,9})\b")
"""In a Keep-Alive header (RFC 2068, 19.7.1.1), which servers send although no later RFC has it."""
MARGIN: Final = 1.0
"""Seconds before the server's time is over; half of it where it is short. The header has whole seconds, and
the server's clock started when it had answered."""
MIN_LEARNED: Final = 0.5
"""Seconds: a server that restarts ends connections however briefly they were idle."""
LEARNED_FOR: Final = 600.0
"""Seconds after which what was learned is forgotten, for the same reason."""


class Protocol(ResponseHandler):
    """aiohttp's, which ends what cannot go on.

    Of itself aiohttp only closes the connection when a response cannot be parsed any further, and its reader
    waits for ever. And it closes one only after all of a request has been sent, even if nobody takes it.
    """

    @override
    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        content = self._payload
        if isinstance(exc, HttpProcessingError) and content is not None and not content.is_eof():
            content.set_exception(aiohttp.ClientPayloadError(exc.message))
        super().set_exception(exc, *cause)

    @override
    def close(self) -> None:
        self.abort()


class IdleConnections(aiohttp.BaseConnector):
    """What both connectors have in common."""

    def __init__(self, *args: Any, keepalive_timeout: float, **more: Any) -> None:
        super().__init__(*args, keepalive_timeout=keepalive_timeout, **more)
        self._factory = cast("partial[ResponseHandler]", partial(Protocol, loop=self._loop))
        self._configured = keepalive_timeout
        self._forget_at = float("inf")

    @property
    def open(self) -> int:
        """Number of open connections, busy or idle."""
        return 0 if self.closed else len(self._acquired) + self.idle

    @property
    def idle(self) -> int:
        """Number of connections that no request uses."""
        return 0 if self.closed else sum(map(len, self._conns.values()))

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a connection, as there are as many as may be."""
        return sum(map(len, self._waiters.values()))

    def respect(self, header: str) -> None:
        """Leaves connections alone before a server ends them that sends such a Keep-Alive header."""
        found = SERVER_TIMEOUT.search(header)
        if found is not None:
            seconds = int(found[1])
            self._keepalive_timeout = min(self._configured, seconds - min(MARGIN, seconds / 2))
            self._forget_at = float("inf")

    @override
    async def _get(self, key: Any, traces: Any) -> Connection | None:
        now = time.monotonic()
        if now > self._forget_at:
            self._keepalive_timeout, self._forget_at = self._configured, float("inf")
        idle = self._conns.get(key)
        while idle:
            protocol, released_at = idle[-1]
            if _can_be_used(protocol):
                idle.rotate(1)  # aiohttp takes the first one
                break
            self._learn(now - released_at, now)
            idle.pop()
            protocol.close()
        return await super()._get(key, traces)

    def _learn(self, seconds: float, now: float) -> None:
        """The server has ended a connection that was idle for no longer than this."""
        limit = max(MIN_LEARNED, seconds / 2)
        if self._keepalive_timeout is None or limit < self._keepalive_timeout:
            self._keepalive_timeout, self._forget_at = limit, now + LEARNED_FOR


class TcpConnector(IdleConnections, aiohttp.TCPConnector):
    """Connections to a host and port."""


class UnixConnector(IdleConnections, aiohttp.UnixConnector):
    """Connections to a Unix socket."""


def _can_be_used(protocol: ResponseHandler) -> bool:
    """Whether nothing has arrived on an idle connection: a server that says something there ends it.

    What has been read already is in the protocol, and would be taken for the response to the next request.
    """
    if protocol.transport is None or protocol.should_close or not protocol.is_connected():
        return False
    arrived = select.poll()
    arrived.register(protocol.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not arrived.poll(0)
