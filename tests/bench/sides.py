"""What gateway benches compare: a gateway and a bare relay on one CPU, a mock backend on the other."""

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

from tests.bench.harness import LOAD_CPU, SERVER_CPU, spawn, stop
from tests.bench.wires import WIRES
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
class Sides:
    """A caller of each."""

    ours: ModelGatewayServiceStub
    against: ModelGatewayServiceStub


@asynccontextmanager
async def script(*arguments: str, cpu: int) -> AsyncIterator[int]:
    """A module of the bench as a process that prints its port."""
    running = spawn("-m", *arguments, cpu=cpu)
    try:
        assert running.stdout is not None
        yield int(running.stdout.readline())
    finally:
        stop(running)


@asynccontextmanager
async def both_sides(provider: str) -> AsyncIterator[Sides]:
    """The gateway with every feature on and the relay, both speaking the provider's wire to the mock."""
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
            "endpoint": url + WIRES[provider].base,
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
        yield Sides(*stubs)


def bind(pid: int, cpu: int) -> None:
    """Binds a process to a CPU: affinity is its threads', one by one, and threads may end meanwhile."""
    for entry in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(entry.name), {cpu})
