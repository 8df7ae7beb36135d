"""The setup of the gateway benches: a gateway and a bare relay on one CPU, a mock backend on the other."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from clawdbot.common.v1 import message_pb2
from clawdbot.model_gateway.v1 import generation_pb2
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub

from tests.bench.canned_streams import CANNED_STREAMS, DELTA, DELTAS
from tests.bench.harness import LOAD_CPU, SERVER_CPU, bind, spawn, stop
from tests.support.processes import ServiceProcess, process

PROMPT = "A table for four tomorrow at seven, please."
REQUEST = generation_pb2.GenerateRequest(
    messages=[message_pb2.Message(role=message_pb2.ROLE_USER, parts=[message_pb2.Part(text=PROMPT)])]
)
STREAM = generation_pb2.StreamGenerateRequest(request=REQUEST)
CHAT = "openai_compatible"
"""The provider of the benches that compare no formats."""


@dataclass(frozen=True, slots=True)
class Stubs:
    """A stub of each."""

    ours: ModelGatewayServiceStub
    against: ModelGatewayServiceStub


@dataclass(frozen=True, slots=True)
class Script:
    """A module of the bench that serves as a process of its own."""

    pid: int
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def script(*arguments: str, cpu: int) -> AsyncIterator[Script]:
    """Runs a module that prints its port."""
    child = spawn("-m", *arguments, cpu=cpu)
    try:
        assert child.stdout is not None
        yield Script(child.pid, int(child.stdout.readline()))
    finally:
        stop(child)


@asynccontextmanager
async def mock_backend(module: str = "tests.bench.mock_backend") -> AsyncIterator[str]:
    """Runs a mock backend and yields its URL."""
    async with script(module, cpu=LOAD_CPU) as served:
        yield f"http://{served.address}"


def backend(url: str, provider: str = CHAT, **more: Any) -> dict[str, Any]:
    """The configuration of a mock backend."""
    endpoint = url + CANNED_STREAMS[provider].base
    return {
        "provider": provider,
        "endpoint": endpoint,
        "name": "mock",
        "api_key": "none-is-looked-at",
        **more,
    }


@asynccontextmanager
async def gateway(**sections: Mapping[str, Any]) -> AsyncIterator[ServiceProcess]:
    """Runs the gateway with all features enabled, on the server's CPU; this process moves to the load's."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plugins = await stack.enter_async_context(process("clawdbot_plugins", state=folder))
        environment = {f"CLAWDBOT_{name.upper()}": json.dumps(each) for name, each in sections.items()}
        environment["CLAWDBOT_PEERS__PLUGINS"] = plugins.address
        served = await stack.enter_async_context(
            process("clawdbot_model_gateway", state=folder, environment=environment)
        )
        bind(served.pid, SERVER_CPU)
        for pid in (os.getpid(), plugins.pid):
            bind(pid, LOAD_CPU)
        yield served


@asynccontextmanager
async def gateway_and_relay(provider: str, engine: str = "grpcio") -> AsyncIterator[Stubs]:
    """The gateway on an engine, and the bare relay; both use the provider's format with the same mock."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(mock_backend())
        relay = await stack.enter_async_context(bare_relay(url, provider))
        served = await stack.enter_async_context(
            gateway(model=backend(url, provider), server={"engine": engine})
        )
        stubs = []
        for address in (served.address, relay.address):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            stubs.append(ModelGatewayServiceStub(channel))
        yield Stubs(*stubs)


def bare_relay(url: str, provider: str = CHAT) -> AbstractAsyncContextManager[Script]:
    """Runs the relay to a backend."""
    return script("tests.bench.bare_relay", url, provider, cpu=SERVER_CPU)


async def read_text(stub: ModelGatewayServiceStub) -> int:
    """Characters of one stream of the mock's whole reply."""
    return sum([len(event.text_delta.text) async for event in stub.StreamGenerate(STREAM)])


async def read_stream(stub: ModelGatewayServiceStub) -> None:
    """The same; fails where text is missing."""
    length = await read_text(stub)
    if length != DELTAS * len(DELTA):
        raise AssertionError(f"text was lost: {length} characters")
