"""GET /metrics, on a thread with an event loop of its own: it answers even if the main loop is stuck.

Connections cost no thread, have a timeout, and are limited: a new one replaces the oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import io
import socket
import ssl
import threading
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from clawdbot_servicekit import sockets
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.shared import METRICS_OFFSET, SharedSettings, secret_digest

MAX_CONNECTIONS: Final = 64
"""At a time; Prometheus needs one."""
CONNECTION_TIMEOUT: Final = 5.0
"""Seconds for the TLS handshake, and for a whole request and its answer."""
MAX_HEADERS: Final = 8192
"""Bytes of a request."""
RELOAD_INTERVAL: Final = 5.0
"""Seconds between two looks at the certificate files."""


class MetricsEndpoint:
    """The endpoint of one process; it listens from `open` to `close`."""

    def __init__(
        self, registry: CollectorRegistry, settings: SharedSettings, listener: socket.socket
    ) -> None:
        self._registry = registry
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        """The port that it listens on."""
        key = settings.telemetry.metrics_key
        self._digest = None if key is None else secret_digest(key.get_secret_value())
        self._certificates: Any = None
        self._tls: ssl.SSLContext | None = None
        if settings.telemetry.metrics_tls:
            from clawdbot_servicekit.tls import Certificates  # gRPC costs a supervisor memory

            files = settings.tls
            self._certificates = Certificates(files.cert_file, files.key_file, files.client_ca_file)
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._load_certificates()
        self._connections: dict[asyncio.Task[Any], None] = {}
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, registry: CollectorRegistry, settings: SharedSettings) -> MetricsEndpoint | None:
        """Starts to listen on server.host; None if metrics are off. A taken default port is replaced by any.

        Raises:
            StartupError: if another port is taken, or the certificates cannot be used.
        """
        host, port = settings.server.host, settings.telemetry.metrics_port
        if port is None:
            return None
        try:
            return cls(registry, settings, _listen(host, port))
        except OSError as error:
            problem = sockets.PORT_PROBLEMS.get(error.errno or 0)
            if problem is None:
                raise StartupError(sockets.cannot_listen(host, port, error)) from None
            if port != settings.default_port + METRICS_OFFSET:
                raise StartupError(
                    f"Cannot listen on the metrics port {port} on {host}: it {problem}: "
                    f"CLAWDBOT_TELEMETRY__METRICS_PORT={port + 1}."
                ) from None
        endpoint = cls(registry, settings, _listen(host, 0))
        structlog.get_logger(__name__).warning("metrics_port_taken", port=port, instead=endpoint.port)
        return endpoint

    def close(self) -> None:
        """Stops listening, and ends the connections. Does nothing the second time."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(CONNECTION_TIMEOUT)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._answer,
            sock=self._listener,
            limit=MAX_HEADERS,
            ssl=self._tls,
            ssl_handshake_timeout=CONNECTION_TIMEOUT if self._tls else None,
        )
        async with server:
            while not self._closing.is_set():
                try:
                    await asyncio.wait_for(self._closing.wait(), RELOAD_INTERVAL)
                except TimeoutError:
                    if self._certificates is not None and self._certificates.changed():
                        self._load_certificates()
            for each in self._connections:
                each.cancel()

    def _load_certificates(self) -> None:
        """Has the next handshake use the files as they are now; client_ca_file is required here too."""
        if self._tls is not None:
            self._tls.load_cert_chain(self._certificates.certificate, self._certificates.key)
            if self._certificates.authority is not None:
                self._tls.load_verify_locations(cafile=self._certificates.authority)
                self._tls.verify_mode = ssl.CERT_REQUIRED

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request and closes."""
        task: Any = asyncio.current_task()
        if len(self._connections) >= MAX_CONNECTIONS:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.cancel()
        self._connections[task] = None
        try:
            async with asyncio.timeout(CONNECTION_TIMEOUT):
                writer.write(self._response(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the client is gone, too slow, or no HTTP client
        except asyncio.CancelledError:
            return  # a newer connection has its place, or the endpoint closes
        finally:
            self._connections.pop(task, None)
            writer.transport.abort()

    def _response(self, request: bytes) -> bytes:
        line, _, rest = request.partition(b"\r\n")
        try:
            headers = parse_headers(io.BytesIO(rest))
        except HTTPException:
            return _http(HTTPStatus.BAD_REQUEST)
        if line.split(b" ")[0] != b"GET":
            return _http(HTTPStatus.METHOD_NOT_ALLOWED)
        if not self._allowed(headers.get("authorization", "")):
            return _http(HTTPStatus.UNAUTHORIZED)
        encode, kind = choose_encoder(headers.get("accept", ""))
        return _http(HTTPStatus.OK, encode(self._registry), kind)

    def _allowed(self, authorization: str) -> bool:
        """Whether the header has the key, if there is one."""
        if self._digest is None:
            return True
        scheme, _, key = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(secret_digest(key.strip()), self._digest)


def _listen(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family)


def _http(status: HTTPStatus, body: bytes = b"", kind: str = "text/plain") -> bytes:
    challenge = "WWW-Authenticate: Bearer\r\n" if status is HTTPStatus.UNAUTHORIZED else ""
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n{challenge}"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
