"""The engines that serve gRPC, for tests that hold both to the same facts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import grpc
import pytest
from clawdbot_servicekit.server_engine import Engine, EngineServer, engine_server

HAS_NATIVE = find_spec("pygrpc_native") is not None
"""Whether this platform has the native engine."""
NEEDS_NATIVE = pytest.mark.skipif(not HAS_NATIVE, reason="the native engine has no package for this platform")
ENGINES = ("grpcio", "native") if HAS_NATIVE else ("grpcio",)
GRPCIO_ONLY = pytest.mark.parametrize("engine", ["grpcio"], indirect=True)
"""Marks a test of what the native engine lacks, where `engine` is a fixture."""
VARIABLE = "CLAWDBOT_SERVER__ENGINE"
"""Selects the engine of the servers that a test makes, and of the processes that it starts."""


def selected_engine() -> str:
    """The value of server.engine for a server that a test makes."""
    return os.environ.get(VARIABLE, "auto")


def make_engine_server(name: str | None = None, options: Sequence[tuple[str, Any]] = ()) -> EngineServer:
    """The server of an engine; without a name, of the selected one."""
    return engine_server(Engine(name or os.environ[VARIABLE], "under test"), options)


@asynccontextmanager
async def serving_handlers(
    name: str,
    services: Mapping[str, Mapping[str, grpc.RpcMethodHandler]],
    options: Sequence[tuple[str, Any]] = (),
    address: str = "127.0.0.1:0",
) -> AsyncIterator[int]:
    """Serves plain handlers by an engine; the port."""
    target = make_engine_server(name, options)
    for service, handlers in services.items():
        target.add_registered_method_handlers(service, handlers)
    port = target.server.add_insecure_port(address)
    await target.server.start()
    try:
        yield port
    finally:
        await target.server.stop(None)
