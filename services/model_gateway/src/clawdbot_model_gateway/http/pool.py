"""The connections to one backend: made when needed, kept for the next request, closed if one is left."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from clawdbot_servicekit import sockets
from clawdbot_servicekit.errors import StartupError
from yarl import URL

from clawdbot_model_gateway.core.errors import ModelFailure
from clawdbot_model_gateway.http.error_mapping import VendorErrors
from clawdbot_model_gateway.http.transport_errors import failure_of
from clawdbot_model_gateway.settings import HttpSettings

LONGEST_ERROR: Final = 64 * 1024
"""Bytes of an error's body that are read."""
KNOWN_URLS: Final = 256
"""Paths whose URL is kept. Some vendors have the model's name in them, and callers may name any."""
FAREWELL: Final = 1.0
"""Seconds for the end of an answer whose content is known to be whole, so that its connection can serve
again."""

HEADERS: Final = {
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "clawdbot",
}


_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name (RFC 9110, 5.1)."""


class HttpPool:
    """aiohttp sets TCP_NODELAY on every connection that it makes."""

    def __init__(
        self,
        endpoint: str,
        settings: HttpSettings,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        errors: VendorErrors,
        socket: str = "",
    ) -> None:
        """A pool that is not open yet.

        Args:
            endpoint: URL that paths are added to.
            settings: sizes and times.
            headers: of each request; may hold secrets.
            query: of each URL.
            errors: what the backend's errors mean.
            socket: path of a Unix socket that the endpoint is reached at, instead of its host and port.

        Raises:
            StartupError: for an endpoint that is no URL, a header or a ca_file that cannot be used.
        """
        self._base = _address(endpoint)
        self._settings = settings
        self._headers = {**HEADERS, **_sendable(headers)}
        self._query = query
        self._errors = errors
        self._ssl = _trust(settings)
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self._connector: aiohttp.BaseConnector | None = None
        self._socket = socket
        self._leaving: set[asyncio.Task[None]] = set()
        self._place = sockets.target(self._base.host or "", self._base.port or 0)

    @property
    def endpoint(self) -> str:
        """Where the backend is; settings allow no credentials in it."""
        return str(self._base)

    @property
    def open_connections(self) -> int:
        """Connections that are open, busy or idle."""
        connector = self._connector
        if connector is None or connector.closed:
            return 0
        # aiohttp shows its numbers nowhere else.
        return len(connector._acquired) + sum(map(len, connector._conns.values()))  # noqa: SLF001

    async def start(self) -> None:
        """Opens the pool; makes no connection."""
        settings = self._settings
        self._connector = self._connecting()
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
            ),
        )

    async def stop(self) -> None:
        """Closes every connection. Safe without a start, and twice."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200.

        Args:
            path: below the endpoint.
            query: of this request's URL, besides the pool's own.

        Raises:
            ModelFailure: no such answer came.
        """
        response = await self._answer("GET", self._url(path, query), None)
        return await self.read(response)

    async def post(
        self, path: str, body: bytes, query: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """The answer of status 200, its content unread; the caller ends it with `read`, `leave` or `done`.

        Arguments as for get.

        Raises:
            ModelFailure: no such answer came.
        """
        return await self._answer("POST", self._url(path, query), body)

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole content; the connection is free afterwards."""
        try:
            return await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise failure_of(error, self._place) from error
        finally:
            response.release()

    async def piece(self, response: aiohttp.ClientResponse) -> bytes:
        """What has come of the content since the last look; waits for the first byte, empty at the end.

        Raises:
            ModelFailure: the connection broke, or nothing came for too long.
        """
        try:
            piece = await response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise failure_of(error, self._place) from error
        connection = response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = self._settings.idle_timeout
        return piece

    def leave(self, response: aiohttp.ClientResponse) -> None:
        """Closes the connection of an answer that nobody wants any more, which tells the backend to stop."""
        response.close()

    def done(self, response: aiohttp.ClientResponse) -> None:
        """Lets an answer go whose content is whole, though its end may still be on the way."""
        if response.content.at_eof():
            response.release()
            return
        task = asyncio.create_task(_to_the_end(response))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        # Here and not in the task, which a stop may cancel before its first step.
        task.add_done_callback(lambda _: response.release())

    def _connecting(self) -> aiohttp.BaseConnector:
        settings = self._settings
        size, idle = settings.pool_size, settings.keep_alive
        if self._socket:
            return aiohttp.UnixConnector(self._socket, limit=size, keepalive_timeout=idle)
        ttl = max(1, int(settings.dns_ttl))
        return aiohttp.TCPConnector(limit=size, ttl_dns_cache=ttl, keepalive_timeout=idle, ssl=self._ssl)

    async def _answer(self, method: str, url: URL, body: bytes | None) -> aiohttp.ClientResponse:
        response = await self._asked(method, url, body)
        if response.status == 200:
            return response
        raise await self._refused(response)

    async def _asked(self, method: str, url: URL, body: bytes | None) -> aiohttp.ClientResponse:
        """The answer; asks again over another connection where an idle one was closed as we took it.

        A server may close several at once, by age or after so many requests. Nothing goes out over a
        connection that is known to be closed, so each of them may cost a try; what may have gone out is sent
        once more only.
        """
        closed_before = self.open_connections + 1
        sent_again = False
        while True:
            try:
                return await self._request(method, url, body)
            except (aiohttp.ClientError, OSError) as error:
                if _unsent(error) and closed_before:
                    closed_before -= 1
                elif isinstance(error, aiohttp.ServerDisconnectedError) and not sent_again:
                    sent_again = True
                else:
                    raise failure_of(error, self._place) from error

    async def _request(self, method: str, url: URL, body: bytes | None) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the pool is not open")
        return await self._session.request(method, url, data=body, allow_redirects=False)

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._base.joinpath(*path.split("/"))
            url = url.update_query(self._query) if self._query else url
            if len(self._urls) < KNOWN_URLS:
                self._urls[path] = url
        return url.update_query(query) if query else url

    async def _refused(self, response: aiohttp.ClientResponse) -> ModelFailure:
        body = bytearray()
        try:
            while len(body) < LONGEST_ERROR and (piece := await response.content.readany()):
                body += piece
        except (aiohttp.ClientError, OSError):
            pass  # The status alone says enough.
        finally:
            response.release()
        return self._errors.answered(response.status, bytes(body), response.headers)


def _address(endpoint: str) -> URL:
    try:
        url = URL(endpoint.rstrip("/"))
        (url.host or "").encode("idna")  # as the system's resolver will: a label may be too long
    except ValueError as error:
        reason = str(error).rpartition("UnicodeError: ")[2].rstrip(")")
        raise StartupError(f"The endpoint {endpoint} is no URL that can be reached: {reason}.") from None
    return url


def _sendable(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers without space around them, as a key's file or variable often has it."""
    clean = {name: value.strip() for name, value in headers.items()}
    for name, value in clean.items():
        if not _NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise StartupError(
                f"The header {name} cannot be sent: it may hold printable ASCII characters only."
            )
    return clean


def _unsent(error: Exception) -> bool:
    """Whether aiohttp found it closed before it could write; what the system refuses has a number."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error, aiohttp.ClientOSError) and error.errno is None


async def _to_the_end(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(FAREWELL):
            while await response.content.readany():
                pass
    except (aiohttp.ClientError, OSError):
        pass  # TimeoutError as well: the connection is closed instead of kept.


def _trust(settings: HttpSettings) -> ssl.SSLContext | bool:
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(settings.ca_file))
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or "it is no certificate in PEM"
        raise StartupError(f"ca_file {settings.ca_file} cannot be used: {reason}.") from None
