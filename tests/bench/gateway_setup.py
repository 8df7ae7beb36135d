"""The setup of the gateway benches: a gateway and a bare relay on one CPU, a mock backend on the other."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from clawdbot.common.v1 import message_pb2
from clawdbot.model_gateway.v1 import generation_pb2
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub

from tests.bench.canned_streams import CANNED_STREAMS
from tests.bench.harness import LOAD_CPU, SERVER_CPU, spawn, stop
from tests.support.processes import process

REQUEST = generation_pb2.GenerateRequest(
    messages=[
        message_pb2.Message(
            role=message_pb2.ROLE_USER,
            parts=[message_pb2.Part(text="A table for four tomorrow at seven, please.")],
        )
    ]
)
STREAM = generation_pb2.StreamGenerateRequest(request=REQUEST)


@dataclass(frozen=True, slots=True)
class Stubs:
    """A stub of each."""

    ours: ModelGatewayServiceStub
    against: ModelGatewayServiceStub


@asynccontextmanager
async def script(*arguments: str, cpu: int) -> AsyncIterator[int]:
    """Runs a module of the bench as a process, and yields the port that it prints."""
    child = spawn("-m", *arguments, cpu=cpu)
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline())
    finally:
        stop(child)


@asynccontextmanager
async def gateway_and_relay(provider: str) -> AsyncIterator[Stubs]:
    """The gateway with all features enabled, and the relay; both use the provider's format with the mock."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = await stack.enter_async_context(script("tests.bench.mock_backend", cpu=LOAD_CPU))
        url = f"http://127.0.0.1:{backend}"
        relay = await stack.enter_async_context(
            script("tests.bench.bare_relay", url, provider, cpu=SERVER_CPU)
        )
        plugins = await stack.enter_async_context(process("clawdbot_plugins", state=folder))
        model = {
            "provider": provider,
            "endpoint": url + CANNED_STREAMS[provider].base,
            "name": "mock",
            "api_key": "none-is-looked-at",
        }
        gateway = await stack.enter_async_context(
            process(
                "clawdbot_model_gateway",
                state=folder,
                environment={
                    "CLAWDBOT_MODEL": json.dumps(model),
                    "CLAWDBOT_PEERS__PLUGINS": plugins.address,
                },
            )
        )
        bind(gateway.pid, SERVER_CPU)
        for pid in (os.getpid(), plugins.pid):
            bind(pid, LOAD_CPU)
        stubs = []
        for address in (gateway.address, f"127.0.0.1:{relay}"):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            stubs.append(ModelGatewayServiceStub(channel))
        yield Stubs(*stubs)


def bind(pid: int, cpu: int) -> None:
    """Binds a process to a CPU, thread by thread: affinity belongs to threads, and one may end meanwhile."""
    for entry in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(entry.name), {cpu})
