"""Makes the gRPC server of a host, and opens the addresses that it listens on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import grpc.aio
import structlog

from clawdbot_servicekit import sockets, tls
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.server_engine import EngineServer, choose_engine, engine_server
from clawdbot_servicekit.settings.shared import ServerSettings, SharedSettings

NO_LIMIT: Final = 2**30
"""gRPC drops a burst of more than 1,000 waiting calls with CANCELLED; admission refuses them properly."""
MIN_PING_INTERVAL: Final = 10.0
"""Minimum seconds between two pings of a client; peers.KEEPALIVE_INTERVAL is three times that."""
KEEPALIVE_INTERVAL: Final = 60.0
"""Seconds of silence before the server pings a client."""
KEEPALIVE_TIMEOUT: Final = 20.0
"""Seconds to wait for the answer to a ping before the connection counts as dead."""
HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds for a new connection's TLS and HTTP/2 handshake; gRPC's default is 120."""


def make_server(settings: SharedSettings) -> EngineServer:
    """A server with the options of this configuration; it does not listen yet."""
    return engine_server(choose_engine(settings), server_options(settings.server))


def server_options(server: ServerSettings) -> Sequence[tuple[str, Any]]:
    """Channel arguments of the server; they must agree with peers.channel_options."""
    age = server.max_connection_age
    return (
        ("grpc.so_reuseport", int(server.workers > 1)),
        ("grpc.max_concurrent_streams", server.max_streams),
        # Ended calls that Python has not yet let go; at the default of 0 gRPC refuses calls of a busy client.
        ("grpc.http2.max_deallocating_streams", server.max_streams),
        ("grpc.server.max_pending_requests", NO_LIMIT),
        ("grpc.server.max_pending_requests_hard_limit", NO_LIMIT),
        ("grpc.max_send_message_length", server.max_message),
        ("grpc.max_receive_message_length", server.max_message),
        # Both limits are the same: between them gRPC would refuse at random.
        ("grpc.max_metadata_size", server.max_metadata),
        ("grpc.absolute_max_metadata_size", server.max_metadata),
        ("grpc.keepalive_time_ms", int(KEEPALIVE_INTERVAL * 1000)),
        ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", int(MIN_PING_INTERVAL * 1000)),
        ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_TIMEOUT * 1000)),
        # gRPC varies the age by up to a tenth. The grace is longer than the longest call.
        *((("grpc.max_connection_age_ms", int(age * 1000)),) if age else ()),
        ("grpc.max_connection_age_grace_ms", int((server.max_deadline + 5) * 1000)),
    )


def listen(server: grpc.aio.Server, settings: SharedSettings) -> int:
    """Binds the TCP port and, if configured, the Unix socket; returns the TCP port.

    Raises:
        StartupError: if an address is not available, or the certificates cannot be used.
    """
    host, port = settings.server.host, settings.server.port
    credentials = tls.server_credentials(settings.tls)
    if settings.server.workers == 1:
        sockets.check_port(host, port)
    address = sockets.target(host, port)
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError:
        raise StartupError(sockets.cannot_listen(host, port)) from None
    if credentials is None and not sockets.is_loopback(host):
        structlog.get_logger(__name__).warning(
            "listening_without_tls", host=host, advice="set tls.cert_file and tls.key_file"
        )
    if not settings.auth.requires_key() and not sockets.is_loopback(host):
        structlog.get_logger(__name__).warning(
            "listening_without_keys",
            host=host,
            advice="set auth.keys; until then anyone may call, and admin calls only from this machine",
        )
    if (path := settings.server.socket) is not None:
        sockets.remove_stale_socket(path)
        try:
            with _private_files():
                server.add_insecure_port(f"unix:{path}")
        except RuntimeError:
            raise StartupError(
                f"Cannot create the socket {path}: its folder does not allow it. Choose another one."
            ) from None
    return bound


@contextmanager
def _private_files() -> Iterator[None]:
    """Makes files created inside the block private to this user. Only one call into gRPC runs inside."""
    previous = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(previous)
