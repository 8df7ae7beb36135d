"""The connections to one backend: opened on demand, kept for reuse, closed when a response is abandoned."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from clawdbot_servicekit import sockets
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular
from yarl import URL

from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.spending import note_sent
from clawdbot_model_gateway.http.connector import IdleConnections, TcpConnector, UnixConnector
from clawdbot_model_gateway.http.error_mapper import ErrorMapper
from clawdbot_model_gateway.http.proxies import proxy_of
from clawdbot_model_gateway.http.request_body import RequestBody
from clawdbot_model_gateway.http.transport_errors import transport_error
from clawdbot_model_gateway.http.whole_bodies import has_end_marker, is_whole, may_be_whole
from clawdbot_model_gateway.settings import HttpSettings

MAX_ERROR_BYTES: Final = 4 * 1024 * 1024
"""Bytes of an error response's body that are read. Some servers repeat the whole request in it."""
ERROR_BODY_TIMEOUT: Final = 1.0
"""Seconds for the body of an error, whose status is known: another target may be asked."""
MAX_HEADER_BYTES: Final = 64 * 1024
"""Of a response header. Security policies have been seen to be longer than aiohttp's 8 kB."""
NO_CONTENT: Final = frozenset({204, 205})
"""Statuses of success without a body (RFC 9110, 15.3)."""
MAX_CACHED_URLS: Final = 256
"""Paths whose URL is cached. Some vendors put the model's name in the path, and callers may send any name."""
SPARE_CONNECTIONS: Final = 2
"""More than a backend has slots, for what needs none: lists of models, and responses read to their end
in the background. So nothing waits in aiohttp's hidden queue."""
SERVER_KEEP_ALIVE: Final = 4.0
"""Seconds that an idle connection is kept: llama.cpp's server, and uvicorn under vLLM and SGLang, close it
after 5 s."""
VENDOR_KEEP_ALIVE: Final = 30.0
"""The same for https. What stands before vendors' servers keeps it for a minute or longer."""
END_TIMEOUT: Final = 2.0
"""Seconds that the end of a body may take after what looks like all of it."""
DRAIN_TIMEOUT: Final = 1.0
"""Seconds for the end of a response whose content is complete, so that its connection can be reused."""

DEFAULT_HEADERS: Final = {
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": "clawdbot",
}

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110, 5.1."""


class HttpPool:
    """A connection pool of aiohttp, which sets TCP_NODELAY on each of its connections."""

    def __init__(
        self,
        endpoint: str,
        settings: HttpSettings,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        errors: ErrorMapper,
        socket: str = "",
    ) -> None:
        """Creates a pool that is not open yet.

        Args:
            endpoint: URL that paths are appended to.
            settings: sizes and timeouts.
            headers: of each request; may contain secrets.
            query: of each URL.
            errors: maps the backend's errors.
            socket: path of a Unix socket to connect to, in place of the endpoint's host and port.

        Raises:
            StartupError: the endpoint, a header or the ca_file is invalid.
        """
        self._base = _parse_url(endpoint)
        self._settings = settings
        self._headers = {**DEFAULT_HEADERS, **_stripped(headers)}
        self._query = query
        self._errors = errors
        self._ssl = _ssl_context(settings)
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self._connector: IdleConnections | None = None
        self._socket = socket
        self._proxy = None if socket else proxy_of(self._base)
        self._draining: set[asyncio.Task[None]] = set()
        slow_to_close = self._base.scheme == "https" and not socket
        default = VENDOR_KEEP_ALIVE if slow_to_close else SERVER_KEEP_ALIVE
        self._keep_alive = default if settings.keep_alive is None else settings.keep_alive
        self._address = sockets.target(self._base.host or "", self._base.port or 0)

    @property
    def idle_timeout(self) -> float:
        """Seconds without content in the middle of a reply."""
        return self._settings.idle_timeout

    @property
    def endpoint(self) -> str:
        """URL of the backend; settings do not allow credentials in it."""
        return str(self._base)

    @property
    def open_connections(self) -> int:
        """Number of open connections, busy or idle."""
        return 0 if self._connector is None else self._connector.open

    @property
    def idle_connections(self) -> int:
        """Number of open connections that no request uses."""
        return 0 if self._connector is None else self._connector.idle

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a connection."""
        return 0 if self._connector is None else self._connector.waiting

    @property
    def is_cold(self) -> bool:
        """Whether the next request would have to make a connection, although the pool should be warm."""
        return self._settings.warm > 0 and self.open_connections == 0

    async def warm(self) -> None:
        """Makes connections until `http.warm` are open. A backend that is down stays without."""
        missing = min(self._settings.warm, self._settings.pool_size) - self.open_connections
        await asyncio.gather(*(self._connect() for _ in range(missing)), return_exceptions=True)

    async def start(self) -> None:
        """Opens the pool without making a connection."""
        settings = self._settings
        self._connector = self._make_connector()
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # aiohttp would send those of the session, and so the key, to the proxy too.
            headers=None if self._proxy else self._headers,
            proxy=self._proxy,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout, sock_read=settings.read_timeout
            ),
        )

    async def stop(self) -> None:
        """Closes all connections. Safe without a start, and when called twice."""
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a successful response.

        Args:
            path: below the endpoint.
            query: of this request's URL, in addition to the pool's own.

        Raises:
            ModelError: there was no such response.
        """
        response = await self._send("GET", self._url(path, query), None)
        return await self.read(response)

    async def post(
        self, path: str, body: bytes, query: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """A successful response, content unread. The caller ends it with `read`, `abort` or `release`.

        Arguments as for get.

        Raises:
            ModelError: there was no such response.
        """
        return await self._send("POST", self._url(path, query), body)

    async def read(self, response: aiohttp.ClientResponse, head: bytes = b"") -> bytes:
        """The whole content; the connection is free afterwards.

        Content is whole, too, if nothing follows it although the connection stays open, or breaks.

        Args:
            response: whose content it is.
            head: what of it has been read.
        """
        body, whole = bytearray(head), False
        try:
            while chunk := await _read_next(response.content, body):
                body += chunk
            whole = True
        except (aiohttp.ClientError, OSError) as error:
            if not is_whole(body):
                raise transport_error(error, self._address) from error
        finally:
            (self.release if whole else self.abort)(response)
        return bytes(body)

    async def read_chunk(self, response: aiohttp.ClientResponse) -> bytes:
        """The content that has arrived since the last read. Waits for the first byte; empty at the end.

        Raises:
            ModelError: the connection broke, or nothing arrived within the timeout.
        """
        try:
            chunk = await response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise transport_error(error, self._address) from error
        protocol = None if response.connection is None else response.connection.protocol
        if protocol is not None and protocol.read_timeout != self.idle_timeout:
            protocol.read_timeout = self.idle_timeout
            # The one that runs has the read_timeout.
            protocol.start_timeout()
        return chunk

    def abort(self, response: aiohttp.ClientResponse) -> None:
        """Closes the connection of an abandoned response, which tells the backend to stop."""
        response.close()

    def release(self, response: aiohttp.ClientResponse) -> None:
        """Releases a response whose content is complete, even if the end of its body is still in transit."""
        if response.content.at_eof():
            response.release()
            return
        task = asyncio.create_task(_drain(response))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)
        # A callback and not a step of the task, which a stop may cancel before it begins.
        task.add_done_callback(lambda _: response.release())

    def _make_connector(self) -> IdleConnections:
        settings = self._settings
        size = settings.pool_size + SPARE_CONNECTIONS
        if self._socket:
            return UnixConnector(self._socket, limit=size, keepalive_timeout=self._keep_alive)
        ttl = max(1, int(settings.dns_ttl))
        return TcpConnector(limit=size, ttl_dns_cache=ttl, keepalive_timeout=self._keep_alive, ssl=self._ssl)

    async def _connect(self) -> None:
        """Makes a connection and leaves it idle."""
        if self._session is None or self._connector is None:
            return
        # The same key as that of the session's own requests. Only the connection is made: nothing is sent.
        request = aiohttp.ClientRequest(
            "GET", self._base, session=self._session, proxy=self._proxy, loop=asyncio.get_running_loop()
        )
        connection = await self._connector.connect(request, traces=[], timeout=self._session.timeout)
        connection.release()

    async def _send(self, method: str, url: URL, body: bytes | None) -> aiohttp.ClientResponse:
        response = await self._send_with_retry(method, url, body)
        announced = response.headers.get("keep-alive")
        if announced is not None and self._connector is not None:
            self._connector.respect(announced)
        if 200 <= response.status < 300 and response.status not in NO_CONTENT:
            # Frameworks answer a POST with 201, and caches in between with 203.
            return response
        raise await self._error_of(response)

    async def _send_with_retry(self, method: str, url: URL, body: bytes | None) -> aiohttp.ClientResponse:
        """The response; repeats a request of which nothing was sent, on another connection.

        A server may close several idle connections at once, by age or after a number of requests, just as we
        take them: each of them may cost a try. A POST of which anything was sent is not repeated, since the
        backend may be working on it; a GET is harmless, and aiohttp repeats it.
        """
        tries = self.open_connections + 1
        while True:
            tries -= 1
            content = None if body is None else RequestBody(body)
            note_sent(False)
            try:
                return await self._request(method, url, content)
            except (aiohttp.ClientError, OSError) as error:
                if tries and content is not None and not content.sent and _was_closed(error):
                    continue
                raise transport_error(error, self._address) from error
            finally:
                note_sent(content is not None and content.sent)

    async def _request(self, method: str, url: URL, body: RequestBody | None) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the pool is not open")
        headers = self._headers if self._proxy else None
        return await self._session.request(method, url, data=body, headers=headers, allow_redirects=False)

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._base.joinpath(*path.split("/"))
            url = url.update_query(self._query) if self._query else url
            if len(self._urls) < MAX_CACHED_URLS:
                self._urls[path] = url
        return url.update_query(query) if query else url

    async def _error_of(self, response: aiohttp.ClientResponse) -> ModelError:
        body = bytearray()
        try:
            async with asyncio.timeout(ERROR_BODY_TIMEOUT):
                while len(body) < MAX_ERROR_BYTES and (chunk := await response.content.readany()):
                    body += chunk
        except (aiohttp.ClientError, OSError):
            pass  # The status alone is enough.
        finally:
            response.release()
        return self._errors.from_response(response.status, bytes(body), response.headers)


def _parse_url(endpoint: str) -> URL:
    try:
        url = URL(endpoint.rstrip("/"))
        (url.host or "").encode("idna")  # as the system's resolver will: a label may be too long
    except ValueError as error:
        reason = str(error).rpartition("UnicodeError: ")[2].rstrip(")")
        raise StartupError(f"The endpoint {endpoint} is not a valid URL: {reason}.") from None
    return url


def _stripped(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers without surrounding white space, which files and variables with keys often contain."""
    clean = {name: value.strip() for name, value in headers.items()}
    for name, value in clean.items():
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise StartupError(f"The header {name} is invalid: only printable ASCII characters are allowed.")
    return clean


def _was_closed(error: Exception) -> bool:
    """Whether it is about an open connection, and not about making one."""
    closed = aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientConnectionResetError
    return isinstance(error, closed) and not isinstance(error, aiohttp.ClientConnectorError)


async def _read_next(content: aiohttp.StreamReader, body: bytearray) -> bytes:
    """The content that has arrived since the last read; empty at the end, and if the body is whole."""
    if content.at_eof() or not may_be_whole(body):
        return await content.readany()
    if has_end_marker(body):
        return b""
    try:
        async with asyncio.timeout(END_TIMEOUT):
            return await content.readany()
    except TimeoutError:
        return b"" if is_whole(body) else await content.readany()


async def _drain(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT):
            while await response.content.readany():
                pass
    except (aiohttp.ClientError, OSError):
        pass  # Includes TimeoutError: the connection is closed instead of reused.


def _ssl_context(settings: HttpSettings) -> ssl.SSLContext | bool:
    if settings.ca_file is None:
        return True
    try:
        read_regular(settings.ca_file)  # OpenSSL would read a device to its end
        return ssl.create_default_context(cafile=str(settings.ca_file))
    except OSError as error:
        reason = error.strerror or "it is not a PEM certificate"
        raise StartupError(f"ca_file {settings.ca_file} cannot be used: {reason}.") from None
