"""What it means when no answer came, by aiohttp's exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import aiohttp

from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    ModelFailure,
    NameNotResolved,
    ProtocolViolation,
    TlsFailed,
)

Make = Callable[[Any, str], ModelFailure]


def _certificate(error: aiohttp.ClientConnectorCertificateError, place: str) -> ModelFailure:
    cause = error.certificate_error
    reason = getattr(cause, "verify_message", "") or type(cause).__name__
    return TlsFailed(f"the certificate of {place} is not trusted: {reason}")


KINDS: Final[tuple[tuple[type[BaseException], Make], ...]] = (
    (
        aiohttp.ConnectionTimeoutError,
        lambda _, place: BackendUnreachable(f"no connection to {place} within connect_timeout"),
    ),
    (
        aiohttp.ServerTimeoutError,
        lambda _, place: BackendTimeout(f"{place} kept silent for longer than its timeout"),
    ),
    (aiohttp.ClientConnectorDNSError, lambda _, place: NameNotResolved(f"{place}: the name has no address")),
    (aiohttp.ClientConnectorCertificateError, _certificate),
    (
        aiohttp.ClientSSLError,
        lambda error, place: TlsFailed(f"no TLS with {place}: {_system(error.os_error)}"),
    ),
    (
        aiohttp.ClientConnectorError,
        lambda error, place: BackendUnreachable(f"no connection to {place}: {_system(error.os_error)}"),
    ),
    (
        aiohttp.ServerDisconnectedError,
        lambda _, place: BackendFailed(f"{place} closed the connection without an answer"),
    ),
    (
        aiohttp.ClientPayloadError,
        lambda _, place: BackendFailed(f"the connection to {place} broke in the middle of the answer"),
    ),
    (
        aiohttp.ClientResponseError,
        lambda _, place: ProtocolViolation(f"{place} does not answer in HTTP"),
    ),
    (OSError, lambda error, place: BackendFailed(f"the connection to {place} broke: {_system(error)}")),
    (aiohttp.ClientError, lambda error, place: BackendFailed(f"{place}: {type(error).__name__}")),
)
"""Exception → failure; the first that fits. The more special ones come first."""


def failure_of(error: Exception, place: str) -> ModelFailure:
    """The failure that aiohttp's exception means.

    Args:
        error: aiohttp.ClientError or OSError.
        place: host and port, for the sentence.
    """
    return next(make(error, place) for kind, make in KINDS if isinstance(error, kind))


def _system(error: OSError) -> str:
    """What the system says, without the addresses that asyncio adds to it."""
    text = error.strerror or type(error).__name__
    known = {111: "connection refused", 61: "connection refused", 113: "no route to host"}
    return known.get(error.errno or 0, text)
