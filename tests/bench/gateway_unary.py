"""Generate through the gateway, held against a bare grpc.aio + aiohttp relay of the same bytes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc.aio
from clawdbot.common.v1 import message_pb2
from clawdbot.model_gateway.v1 import generation_pb2, model_gateway_service_pb2_grpc

from tests.bench.harness import LOAD_CPU, SERVER_CPU, Figure, conditions, interleave, spawn, stop
from tests.bench.load import Load, drive
from tests.support.processes import process

GOAL = 0.75
"""Of the bare relay's requests per second."""
CALLS = 4000
CALLERS = 64
REQUEST = generation_pb2.GenerateRequest(
    messages=[
        message_pb2.Message(
            role=message_pb2.ROLE_USER,
            parts=[message_pb2.Part(text="A table for four tomorrow at seven, please.")],
        )
    ]
)


@asynccontextmanager
async def script(*arguments: str, cpu: int) -> AsyncIterator[int]:
    """A module of the bench as a process that prints its port."""
    running = spawn("-m", *arguments, cpu=cpu)
    try:
        assert running.stdout is not None
        yield int(running.stdout.readline())
    finally:
        stop(running)


def caller(address: str, channels: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    """One call of Generate on a channel of its own."""
    channel = grpc.aio.insecure_channel(address)
    channels.push_async_callback(channel.close)
    stub = model_gateway_service_pb2_grpc.ModelGatewayServiceStub(channel)
    return lambda: stub.Generate(REQUEST)


async def measure() -> Figure:
    """Gateway and relay on one CPU, callers and backend on the other."""
    loads: dict[str, Load] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = await stack.enter_async_context(script("tests.bench.mock_backend", cpu=LOAD_CPU))
        url = f"http://127.0.0.1:{backend}/v1"
        relay = await stack.enter_async_context(script("tests.bench.bare_relay", url, cpu=SERVER_CPU))
        plugins = await stack.enter_async_context(process("clawdbot_plugins", state=folder))
        gateway = await stack.enter_async_context(
            process(
                "clawdbot_model_gateway",
                state=folder,
                environment={
                    "CLAWDBOT_MODEL": json.dumps(
                        {"provider": "openai_compatible", "endpoint": url, "name": "mock"}
                    ),
                    "CLAWDBOT_PEERS__PLUGINS": plugins.address,
                },
            )
        )
        bind(gateway.pid, SERVER_CPU)
        for pid in (os.getpid(), plugins.pid):
            bind(pid, LOAD_CPU)
        calls = {
            "ours": caller(gateway.address, stack),
            "against": caller(f"127.0.0.1:{relay}", stack),
        }

        async def round_of(side: str) -> float:
            loads[side] = await drive(calls[side], calls=CALLS, callers=CALLERS)
            return loads[side].per_second

        ours, against = await interleave(lambda: round_of("ours"), lambda: round_of("against"))
    return Figure(
        name="gateway_unary",
        ours=ours,
        against=against,
        unit="requests/s",
        ratio=ours / against,
        goal=f">= {GOAL:g}",
        holds=ours / against >= GOAL,
        conditions=conditions(
            callers=CALLERS,
            against="bare grpc.aio + aiohttp relay",
            p50_ms=loads["ours"].p50_ms,
            p99_ms=loads["ours"].p99_ms,
            against_p50_ms=loads["against"].p50_ms,
            against_p99_ms=loads["against"].p99_ms,
        ),
    )


def bind(pid: int, cpu: int) -> None:
    """Binds a running process to one CPU. Affinity is its threads', one by one."""
    for entry in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            os.sched_setaffinity(int(entry.name), {cpu})
