"""Connects a command to the services: at an address, or in a suite that it starts in its own process.

The only call it makes is the health check.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from clawdbot.dialogue.v1.dialogue_service_pb2 import DESCRIPTOR as DIALOGUE_FILE
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import DESCRIPTOR as GATEWAY_FILE
from clawdbot_servicekit import sockets
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.tls import Certificates, channel_credentials
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from clawdbot_cli.addresses import connectable_host, parse_address
from clawdbot_cli.handshake import handshake_error
from clawdbot_cli.tls_options import TlsOptions

DIALOGUE: Final = DIALOGUE_FILE.services_by_name["DialogueService"].full_name
GATEWAY: Final = GATEWAY_FILE.services_by_name["ModelGatewayService"].full_name
SERVICE_NAMES: Final = {DIALOGUE: "dialogue service", GATEWAY: "model gateway"}
"""gRPC service that a command needs → its name in messages."""
READY_TIMEOUT: Final = 10.0
"""Seconds for a server to report SERVING."""
CONNECT_TIMEOUT: Final = 2.0
"""Seconds to find out whether a server listens on this machine."""

CHANNEL_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),  # the server allows one ping every ten seconds
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
"""The short backoff is for the person who waits: a restarted server should be noticed soon."""


EMBEDDED_OVERRIDES: Final = {
    "server.host": "127.0.0.1",
    "server.port": 0,
    "server.workers": 1,
    "server.socket": None,
    "telemetry.metrics_port": None,
    "telemetry.log_level": "warning",
}
"""What overrides the configuration of an embedded suite: it serves one person, next to other suites."""

MAX_LOG_BYTES: Final = 1_000_000
"""A larger log file is overwritten, not appended to."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A channel to the services."""

    channel: grpc.aio.Channel
    display_name: str
    """For messages: "127.0.0.1:8080", "the suite in this process"."""
    unencrypted: bool
    """Whether it leaves this machine without TLS."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The command-line options that say where the services are. None: not given."""

    address: str | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    config: Path | None = None

    def check(self) -> None:
        """Raises StartupError for options that contradict each other."""
        if self.config is not None and self.address is not None:
            raise StartupError(
                "Give --config or --addr, not both: --config is for a suite on this machine, --addr names "
                "a running server."
            )


class ServerNotFound(Exception):
    """No Clawdbot server answers at an address; the message says what was found instead."""


class HandshakeFailed(ServerNotFound):
    """A server is there, but TLS fails; the message says what to do."""


@asynccontextmanager
async def connect(
    address: str, certificates: Certificates | None, service: str = DIALOGUE
) -> AsyncIterator[Connection]:
    """Connects to the services at an address and waits until they are SERVING.

    Args:
        address: in gRPC's syntax.
        certificates: for TLS; None for no TLS.
        service: the gRPC service that must be there.

    Raises:
        ServerNotFound: the service is not there, or is not ready in time.
    """
    async with _open_channel(address, certificates) as channel:
        await _wait_until_serving(channel, address, certificates, service)
        yield Connection(channel, address, unencrypted=certificates is None and not _is_local(address))


async def port_is_open(host: str, port: int) -> bool:
    """Whether a server accepts TCP connections there."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


@asynccontextmanager
async def connect_or_start(
    options: ConnectionOptions, notify: Callable[[str], None], service: str = DIALOGUE
) -> AsyncIterator[Connection]:
    """Connects to the given address, else to the suite of `clawdbot up`, else starts a suite in this process.

    Args:
        options: from the command line.
        notify: shows a line about what is done.
        service: the gRPC service that must be there.

    Raises:
        StartupError: for what the person can fix.
    """
    async with AsyncExitStack() as stack:
        yield await _connect_or_start(stack, options, notify, service)


async def _connect_or_start(
    stack: AsyncExitStack, options: ConnectionOptions, notify: Callable[[str], None], service: str
) -> Connection:
    if options.address is not None:
        address = parse_address(options.address)
        certificates = options.tls.certificates(address)
        try:
            return await stack.enter_async_context(connect(address, certificates, service))
        except HandshakeFailed as error:
            raise StartupError(str(error)) from None
        except ServerNotFound as error:
            raise StartupError(
                f"{error} Start a server there, or omit --addr to use a suite on this machine."
            ) from None
    # Importing the services' settings takes a moment, and a given address needs none of them.
    from clawdbot_cli.settings import suite_settings

    server = suite_settings(options.config, {}).server
    host, port = connectable_host(server.host), server.port
    address = sockets.target(host, port)
    certificates = options.tls.certificates(address)
    if await port_is_open(host, port):
        try:
            connection = await stack.enter_async_context(connect(address, certificates, service))
        except ServerNotFound as error:
            notify(f"{error} Starting a suite in this process instead.")
        else:
            notify(f"Connected to the suite at {address}.")
            return connection
    else:
        notify(f"No suite is running at {address}. Starting one in this process.")
    return await stack.enter_async_context(embedded_suite(options.config, notify))


@asynccontextmanager
async def embedded_suite(config: Path | None, notify: Callable[[str], None]) -> AsyncIterator[Connection]:
    """Runs a suite in this process, with the configuration of `clawdbot up`; its log goes to a file.

    Raises:
        StartupError: for what the person can fix.
    """
    # A connection to a running suite needs none of these.
    from clawdbot_servicekit import logs
    from clawdbot_servicekit.host import prepare_state_dir
    from clawdbot_servicekit.private_files import open_private
    from clawdbot_servicekit.redaction import Redactor, secrets_of

    from clawdbot_cli.settings import suite_settings
    from clawdbot_cli.suite import running_suite

    settings = suite_settings(config, EMBEDDED_OVERRIDES)
    prepare_state_dir(settings.state_dir)
    log = settings.state_dir / "chat.log"
    notify(f"Log file: {log}")
    append = not log.exists() or log.stat().st_size < MAX_LOG_BYTES
    flags = os.O_WRONLY | (os.O_APPEND if append else os.O_TRUNC)
    with os.fdopen(open_private(log, flags), "a" if append else "w", encoding="utf-8") as stream:
        logs.configure(settings.telemetry, Redactor(secrets_of(settings)), stream)
        async with running_suite(settings) as suite:
            yield Connection(suite.channel(), "the suite in this process", unencrypted=False)


def _is_local(address: str) -> bool:
    return address.startswith("unix:") or sockets.is_loopback(address.rpartition(":")[0].strip("[]"))


def _open_channel(address: str, certificates: Certificates | None) -> grpc.aio.Channel:
    if certificates is None:
        return grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(address, channel_credentials(certificates), CHANNEL_OPTIONS)


async def _wait_until_serving(
    channel: grpc.aio.Channel, address: str, certificates: Certificates | None, service: str
) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=READY_TIMEOUT)
    try:
        async for response in watch:
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                return
            if response.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
                raise ServerNotFound(f"The server at {address} has no {SERVICE_NAMES[service]}.")
    except grpc.aio.AioRpcError as error:
        raise await _explain(error, address, certificates) from None
    finally:
        watch.cancel()
    raise ServerNotFound(f"The server at {address} is shutting down.")


async def _explain(
    error: grpc.aio.AioRpcError, address: str, certificates: Certificates | None
) -> ServerNotFound:
    """A sentence that says why the health check failed."""
    code, details = error.code(), error.details() or ""
    if code is not grpc.StatusCode.UNAVAILABLE:
        sentence = HEALTH_CHECK_ERRORS.get(code, "The server at {address} answered {code}: {details}.")
        return ServerNotFound(sentence.format(address=address, code=code.name, details=details))
    host, _, port = address.removeprefix("dns:///").rpartition(":")
    host = host.strip("[]")
    if "resol" in details:
        return ServerNotFound(f"The host name {host} cannot be resolved.")
    if port.isdecimal() and await port_is_open(host, int(port)):
        if reason := await handshake_error(address, host, int(port), certificates):
            return HandshakeFailed(reason)
        return ServerNotFound(f"The server at {address} does not answer gRPC calls.")
    return ServerNotFound(f"No server is listening at {address}.")


HEALTH_CHECK_ERRORS: Final = {
    grpc.StatusCode.UNIMPLEMENTED: "The server at {address} is not a Clawdbot server.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "The server at {address} did not become ready in time.",
}
"""Status of the health check → sentence, where a server answered."""
