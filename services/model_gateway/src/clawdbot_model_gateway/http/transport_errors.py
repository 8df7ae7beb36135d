"""Maps aiohttp's exceptions to a ModelError."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp.http import HttpProcessingError

from clawdbot_model_gateway.core.errors import (
    BackendTimeout,
    BackendUnreachable,
    ConnectionBroken,
    ModelError,
    NameNotResolved,
    ProtocolViolation,
    ProxyFailed,
    TlsFailed,
)

ErrorFactory = Callable[[Any, str], ModelError]


def _certificate(error: aiohttp.ClientConnectorCertificateError, address: str) -> ModelError:
    cause = error.certificate_error
    reason = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else type(cause).__name__
    return TlsFailed(f"the certificate of {address} is not trusted: {reason}")


ERROR_FACTORIES: Final[tuple[tuple[type[BaseException], ErrorFactory], ...]] = (
    (
        aiohttp.ConnectionTimeoutError,
        lambda _, address: BackendUnreachable(f"no connection to {address} within connect_timeout"),
    ),
    (
        aiohttp.ServerTimeoutError,
        lambda _, address: BackendTimeout(f"{address} sent no data before the timeout"),
    ),
    (
        aiohttp.ClientProxyConnectionError,
        lambda error, _: ProxyFailed(
            f"no connection to the proxy {error.host}:{error.port}: {_describe(error.os_error)}"
        ),
    ),
    (
        aiohttp.ClientHttpProxyError,
        lambda error, address: ProxyFailed(f"the proxy does not connect to {address}: HTTP {error.status}"),
    ),
    (
        aiohttp.ClientResponseError,
        lambda _, address: ProxyFailed(f"the proxy does not answer in HTTP when it is asked for {address}"),
    ),
    (
        aiohttp.ClientConnectorDNSError,
        lambda _, address: NameNotResolved(f"{address}: the host name has no address"),
    ),
    (aiohttp.ClientConnectorCertificateError, _certificate),
    (
        aiohttp.ClientSSLError,
        lambda error, address: TlsFailed(f"no TLS connection to {address}: {_describe(error.os_error)}"),
    ),
    (
        aiohttp.ClientConnectorError,
        lambda error, address: BackendUnreachable(f"no connection to {address}: {_describe(error.os_error)}"),
    ),
    (
        aiohttp.ServerDisconnectedError,
        lambda _, address: ConnectionBroken(f"{address} closed the connection without a response"),
    ),
    (
        aiohttp.ClientPayloadError,
        lambda _, address: ConnectionBroken(
            f"the connection to {address} broke in the middle of the response"
        ),
    ),
    (
        HttpProcessingError,
        lambda error, address: ProtocolViolation(_unreadable(error.message, address)),
    ),
    (
        OSError,
        lambda error, address: ConnectionBroken(f"the connection to {address} broke: {_describe(error)}"),
    ),
    (aiohttp.ClientError, lambda error, address: ConnectionBroken(f"{address}: {type(error).__name__}")),
)
"""Exception class → ModelError; the first that matches, so subclasses come before their bases."""


def transport_error(error: Exception, address: str) -> ModelError:
    """The ModelError for an exception of aiohttp.

    Args:
        error: aiohttp.ClientError, HttpProcessingError or OSError.
        address: host and port, for the message.
    """
    return next(create(error, address) for kind, create in ERROR_FACTORIES if isinstance(error, kind))


def _unreadable(message: str, address: str) -> str:
    """What of a response is not HTTP, without the bytes themselves."""
    encoding = re.search(r"content-encoding: (\w{1,20})", message)
    if encoding is not None:
        return f"{address} sends content-encoding {encoding[1]}, although it was asked for none"
    if "Got more than" in message:
        return f"{address} sends a header that is too large"
    if "Too many headers" in message:
        return f"{address} sends too many headers"
    return f"{address} does not speak HTTP"


def _describe(error: OSError) -> str:
    """The system's message, without the addresses that asyncio adds to it."""
    text = error.strerror or type(error).__name__
    known = {111: "connection refused", 61: "connection refused", 113: "no route to host"}
    return known.get(error.errno or 0, text)
