"""Where a command finds the services: at an address, or in a suite that it starts in its own process.

Nothing is asked of the services here but whether they are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from clawdbot.dialogue.v1.dialogue_service_pb2 import DESCRIPTOR as DIALOGUE_FILE
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import DESCRIPTOR as GATEWAY_FILE
from clawdbot_servicekit import sockets
from clawdbot_servicekit.errors import StartupError
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from clawdbot_cli.addresses import address_of, reachable

DIALOGUE: Final = DIALOGUE_FILE.services_by_name["DialogueService"].full_name
GATEWAY: Final = GATEWAY_FILE.services_by_name["ModelGatewayService"].full_name
NOUNS: Final = {DIALOGUE: "dialogue service", GATEWAY: "model gateway"}
"""Service that a command is for → how a person calls it."""
PATIENCE: Final = 10.0
"""Seconds for a server to say that it serves."""
KNOCK: Final = 2.0
"""Seconds to find out whether anybody listens on this machine."""

OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),  # the server allows one every ten seconds
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
"""A person waits: a server that is back should be noticed soon."""


EMBEDDED: Final = {
    "server.host": "127.0.0.1",
    "server.port": 0,
    "server.workers": 1,
    "server.socket": None,
    "telemetry.metrics_port": None,
    "telemetry.log_level": "warning",
}
"""What a command's own suite is told over the configuration: it is for one person, beside what else runs."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A way to the services."""

    channel: grpc.aio.Channel
    where: str
    """For the person: "127.0.0.1:8080", "the suite in this process"."""
    in_the_clear: bool
    """Whether it leaves this machine without TLS."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What the command line says of where the services are. None: not given."""

    address: str | None = None
    ca_file: Path | None = None
    config: Path | None = None

    def check(self) -> None:
        """Raises StartupError for options that contradict each other."""
        if self.config is not None and self.address is not None:
            raise StartupError(
                "--config is for a suite on this machine, and --addr names one: give one of them."
            )


class NobodyThere(Exception):
    """No Clawdbot answers at an address; the text says what does."""


@asynccontextmanager
async def remote(address: str, roots: Path | None, service: str = DIALOGUE) -> AsyncIterator[Connection]:
    """The services at an address, SERVING.

    Args:
        address: as gRPC writes it.
        roots: PEM file of the authority that vouches for the server; None for no TLS.
        service: the one that must be there.

    Raises:
        NobodyThere: with a sentence.
        StartupError: for a file of certificates that cannot be read.
    """
    async with _channel(address, roots) as channel:
        await _serving(channel, address, service)
        yield Connection(channel, address, in_the_clear=roots is None and not _on_this_machine(address))


async def listened_on(host: str, port: int) -> bool:
    """Whether anything takes connections there."""
    try:
        async with asyncio.timeout(KNOCK):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


@asynccontextmanager
async def reached(
    where: Whereabouts, note: Callable[[str], None], service: str = DIALOGUE
) -> AsyncIterator[Connection]:
    """The services where the person says, or where `clawdbot up` has them; else a suite of our own.

    Args:
        where: what the command line says.
        note: shows a line about it.
        service: the one that must be there.

    Raises:
        StartupError: for what the person can mend.
    """
    async with AsyncExitStack() as stack:
        yield await _reach(stack, where, note, service)


async def _reach(
    stack: AsyncExitStack, where: Whereabouts, note: Callable[[str], None], service: str
) -> Connection:
    if where.address is not None:
        try:
            found = remote(address_of(where.address), where.ca_file, service)
            return await stack.enter_async_context(found)
        except NobodyThere as error:
            raise StartupError(
                f"{error} Start it there, or leave --addr out for a suite of your own."
            ) from None
    # The services' settings take a moment to load, and a given address needs none of them.
    from clawdbot_cli.settings import suite_settings

    server = suite_settings(where.config, {}).server
    host, port = reachable(server.host), server.port
    address = sockets.target(host, port)
    if await listened_on(host, port):
        try:
            connection = await stack.enter_async_context(remote(address, where.ca_file, service))
        except NobodyThere as error:
            note(f"{error} Starting a suite in this process instead.")
        else:
            note(f"Talking to the suite at {address}.")
            return connection
    else:
        note(f"No suite runs at {address}: starting one in this process.")
    return await stack.enter_async_context(own_suite(where.config, note))


@asynccontextmanager
async def own_suite(config: Path | None, notice: Callable[[str], None]) -> AsyncIterator[Connection]:
    """A suite in this process, on the configuration that `clawdbot up` would have; its log goes to a file.

    Raises:
        StartupError: for what the person can mend.
    """
    # A running suite needs none of these.
    from clawdbot_servicekit import logs
    from clawdbot_servicekit.host import prepare_folder
    from clawdbot_servicekit.redaction import Redactor, secrets_of

    from clawdbot_cli.settings import suite_settings
    from clawdbot_cli.suite import running_suite

    settings = suite_settings(config, EMBEDDED)
    prepare_folder(settings.state_dir)
    log = settings.state_dir / "chat.log"
    notice(f"Its log is {log}.")
    with log.open("a" if _small(log) else "w", encoding="utf-8") as stream:
        logs.configure(settings.telemetry, Redactor(secrets_of(settings)), stream)
        async with running_suite(settings) as suite:
            yield Connection(suite.channel(), "the suite in this process", in_the_clear=False)


LARGEST_LOG: Final = 1_000_000
"""Bytes; a longer log begins anew."""


def _small(log: Path) -> bool:
    return not log.exists() or log.stat().st_size < LARGEST_LOG


def _on_this_machine(address: str) -> bool:
    return address.startswith("unix:") or sockets.is_loopback(address.rpartition(":")[0].strip("[]"))


def _channel(address: str, roots: Path | None) -> grpc.aio.Channel:
    if roots is None:
        return grpc.aio.insecure_channel(address, OPTIONS)
    try:
        certificates = roots.expanduser().read_bytes()
    except OSError as error:
        raise StartupError(f"--ca-file {roots}: cannot be read: {error.strerror}.") from None
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(certificates), OPTIONS)


async def _serving(channel: grpc.aio.Channel, address: str, service: str) -> None:
    """Returns once the service there is SERVING."""
    request = health_pb2.HealthCheckRequest(service=service)
    watching = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=PATIENCE)
    try:
        async for answer in watching:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            if answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
                raise NobodyThere(f"The server at {address} has no {NOUNS[service]}.")
    except grpc.aio.AioRpcError as error:
        raise NobodyThere(await _why(error, address)) from None
    finally:
        watching.cancel()
    raise NobodyThere(f"The server at {address} is shutting down.")


async def _why(error: grpc.aio.AioRpcError, address: str) -> str:
    """What the matter is, as a sentence."""
    code, details = error.code(), error.details() or ""
    if code is not grpc.StatusCode.UNAVAILABLE:
        return OTHERWISE.get(code, "The server at {address} answers {code}: {details}.").format(
            address=address, code=code.name, details=details
        )
    host, _, port = address.rpartition(":")
    if "resol" in details:
        return f"There is no host {host}."
    if port.isdecimal() and await listened_on(host.strip("[]"), int(port)):
        return f"What listens at {address} does not answer as asked: with TLS (--ca-file FILE), or without."
    return f"Nobody listens at {address}."


OTHERWISE: Final = {
    grpc.StatusCode.UNIMPLEMENTED: "The server at {address} is not Clawdbot.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "The server at {address} does not become ready.",
}
"""Status of the probe → sentence, where somebody answers."""
