"""Chooses what serves gRPC: the native engine (Rust, outside the interpreter's lock), or grpcio.

Both host the same handlers. docs/operations.md lists where they differ, decision 0023 says why there are two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal

import grpc.aio
from typing_extensions import override

from clawdbot_servicekit import sockets
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.grpcio_server import GrpcioServer
from clawdbot_servicekit.pipeline import HandlerTarget
from clawdbot_servicekit.settings.shared import SharedSettings

NATIVE: Final = "native"
GRPCIO: Final = "grpcio"
NATIVE_VERSION: Final = "0.5.0"
"""Of pygrpc-native: native_server.py uses private parts of it."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine of a server."""

    name: Literal["native", "grpcio"]
    reason: str
    """Why it is this one, for the banner and the log."""

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


class EngineServer(HandlerTarget):
    """The server of an engine, and the way in which it takes handlers.

    Args:
        server: with the interface of grpc.aio.Server.
        engine: whose it is.
    """

    def __init__(self, server: grpc.aio.Server, engine: Engine) -> None:
        self.server = server
        self.engine = engine
        # The native engine has read a single request when it tells of the call.
        self.reads_requests = engine.name == GRPCIO

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self.server.add_registered_method_handlers(service_name, method_handlers)


def choose_engine(settings: SharedSettings) -> Engine:
    """The engine for a configuration.

    Raises:
        StartupError: server.engine is "native", and the configuration asks for what that one lacks.
    """
    wanted = settings.server.engine
    if wanted == GRPCIO:
        return Engine(GRPCIO, "as configured")
    lacks = next(_lacks(settings), None)
    if wanted == NATIVE:
        if lacks is not None:
            raise StartupError(f"server.engine: native cannot be used, as {lacks}. Set auto or grpcio.")
        return Engine(NATIVE, "as configured")
    lacks = lacks or _unsafe(settings)
    return Engine(NATIVE, "nothing asks for grpcio") if lacks is None else Engine(GRPCIO, lacks)


def engine_server(engine: Engine, options: Sequence[tuple[str, Any]]) -> EngineServer:
    """A server with gRPC's channel arguments; it does not listen yet."""
    if engine.name == GRPCIO:
        server: Any = GrpcioServer(options)  # its base is none of the stubs' classes
        return EngineServer(server, engine)
    # Imported here, since some platforms have no such package.
    from clawdbot_servicekit.native_server import NativeServer

    return EngineServer(NativeServer(options), engine)


def _lacks(settings: SharedSettings) -> Iterator[str]:
    """What the configuration asks for and the native engine cannot do."""
    server = settings.server
    if settings.tls.cert_file is not None:
        yield "tls is configured"
    if server.socket is not None:
        yield "server.socket is a second address"
    # Its default is meant for grpcio.
    if server.max_connection_age and "max_connection_age" in server.model_fields_set:
        yield "server.max_connection_age is configured"
    # Last, as it loads the package.
    if (problem := _package_problem()) is not None:
        yield problem


def _package_problem() -> str | None:
    """Why the native engine cannot be loaded."""
    try:
        installed = version("pygrpc-native")
        if installed == NATIVE_VERSION:
            import_module("clawdbot_servicekit.native_server")
            return None
    except PackageNotFoundError:
        return "the package pygrpc-native is not installed"
    except ImportError as error:
        return f"the package pygrpc-native cannot be loaded ({error})"
    return f"pygrpc-native {installed} is installed instead of {NATIVE_VERSION}"


def _unsafe(settings: SharedSettings) -> str | None:
    """Why the native engine is not chosen by itself, though it could serve."""
    if sockets.is_loopback(settings.server.host):
        return None
    return "other machines can connect, and the native engine holds messages of any size"
