"""The connections to one backend: opened on demand, kept for reuse, closed when a response is abandoned."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from clawdbot_servicekit import sockets
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular
from yarl import URL

from clawdbot_model_gateway.core.errors import ModelError, ProxyFailed
from clawdbot_model_gateway.core.spending import note_sent
from clawdbot_model_gateway.http.connector import IdleConnections, TcpConnector, UnixConnector
from clawdbot_model_gateway.http.error_mapper import ErrorMapper
from clawdbot_model_gateway.http.exchange import NotSent, Response, exchange
from clawdbot_model_gateway.http.proxies import proxy_of
from clawdbot_model_gateway.http.transport_errors import transport_error
from clawdbot_model_gateway.http.whole_bodies import has_end_marker, is_whole, may_be_whole
from clawdbot_model_gateway.settings import HttpSettings

MAX_ERROR_BYTES: Final = 4 * 1024 * 1024
"""Bytes of an error response's body that are read. Some servers repeat the whole request in it."""
ERROR_BODY_TIMEOUT: Final = 1.0
"""Seconds for the body of an error, whose status is known: another target may be asked."""
NO_CONTENT: Final = frozenset({204, 205})
"""Statuses of success without a body (RFC 9110, 15.3)."""
MAX_CACHED_TARGETS: Final = 256
"""Paths whose target is cached. Some vendors put the model's name in it, and callers may send any name."""
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
        self._timeout = aiohttp.ClientTimeout(connect=settings.connect_timeout)
        self._targets: dict[str, str] = {}
        self._header_lines = ""
        self._connector: IdleConnections | None = None
        self._destination: aiohttp.ClientRequest | None = None
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
        await asyncio.gather(*(self._add_idle() for _ in range(missing)), return_exceptions=True)

    async def start(self) -> None:
        """Opens the pool without making a connection."""
        self._connector = self._make_connector()
        # The same for all requests. A proxy of its own gets none of its headers, which hold the key.
        self._destination = aiohttp.ClientRequest(
            "GET", self._base, headers=self._headers, proxy=self._proxy, loop=asyncio.get_running_loop()
        )

    async def stop(self) -> None:
        """Closes all connections. Safe without a start, and when called twice."""
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        if self._connector is not None:
            await self._connector.close()
            self._connector = None

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a successful response.

        Args:
            path: below the endpoint.
            query: of this request's URL, in addition to the pool's own.

        Raises:
            ModelError: there was no such response.
        """
        response = await self._send("GET", self._target(path, query), None)
        return await self.read(response)

    async def post(self, path: str, body: bytes, query: Mapping[str, str] | None = None) -> Response:
        """A successful response, content unread. The caller ends it with `read`, `abort` or `release`.

        Arguments as for get.

        Raises:
            ModelError: there was no such response.
        """
        return await self._send("POST", self._target(path, query), body)

    async def read(self, response: Response, head: bytes = b"") -> bytes:
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

    async def read_chunk(self, response: Response) -> bytes:
        """The content that has arrived since the last read. Waits for the first byte; empty at the end.

        Raises:
            ModelError: the connection broke, or nothing arrived within the timeout.
        """
        try:
            chunk = await response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise transport_error(error, self._address) from error
        response.limit_silence(self.idle_timeout)
        return chunk

    def abort(self, response: Response) -> None:
        """Closes the connection of an abandoned response, which tells the backend to stop."""
        response.close()

    def release(self, response: Response) -> None:
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

    async def _add_idle(self) -> None:
        (await self._connect()).release()

    async def _connect(self) -> Connection:
        if self._connector is None or self._destination is None:
            raise RuntimeError("the pool is not open")
        try:
            return await self._connector.connect(self._destination, traces=[], timeout=self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            # Nobody but a proxy is asked for anything yet.
            raise ProxyFailed(
                f"the proxy closed the connection when it was asked for {self._address}"
            ) from error

    async def _send(self, method: str, target: str, body: bytes | None) -> Response:
        response = await self._send_with_retry(method, target, body)
        announced = response.headers.get("keep-alive")
        if announced is not None and self._connector is not None:
            self._connector.respect(announced)
        if 200 <= response.status < 300 and response.status not in NO_CONTENT:
            # Frameworks answer a POST with 201, and caches in between with 203.
            return response
        raise await self._error_of(response)

    async def _send_with_retry(self, method: str, target: str, body: bytes | None) -> Response:
        """The response; repeats a request of which nothing was sent, on another connection.

        A server may close several idle connections at once, by age or after a number of requests, just as we
        take them: each of them may cost a try. A POST of which anything was sent is not repeated, since the
        backend may be working on it; a GET is harmless.
        """
        tries = self.open_connections + 1
        while True:
            tries -= 1
            if body is not None:
                note_sent(False)
            try:
                connection = await self._connect()
                head = self._head(method, target)
                return await exchange(connection, head, body, read_timeout=self._settings.read_timeout)
            except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
                harmless = body is None or isinstance(error, NotSent)
                if not (tries and harmless and _was_closed(error)):
                    raise transport_error(error, self._address) from error

    def _target(self, path: str, query: Mapping[str, str] | None) -> str:
        """What the request line says of the URL (RFC 9112, 3.2): all of it to a proxy of plain HTTP."""
        target = self._targets.get(path) if query is None else None
        if target is None:
            url = self._base.joinpath(*path.split("/")).extend_query({**self._query, **(query or {})})
            target = str(url) if self._proxy and url.scheme == "http" else url.raw_path_qs
            if query is None and len(self._targets) < MAX_CACHED_TARGETS:
                self._targets[path] = target
        return target

    def _head(self, method: str, target: str) -> bytes:
        """The request line and the headers. To be asked for once connected: aiohttp adds the proxy's."""
        if not self._header_lines and self._destination is not None:
            headers = self._destination.headers.items()
            self._header_lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"{method} {target} HTTP/1.1\r\n{self._header_lines}".encode("ascii")

    async def _error_of(self, response: Response) -> ModelError:
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
    closed = aiohttp.ClientOSError | aiohttp.ServerDisconnectedError
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


async def _drain(response: Response) -> None:
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
