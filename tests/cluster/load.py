"""Steady calls to a service from within the cluster, until /tmp/stop exists; then one line of JSON.

It runs in a pod, with the packages of the suite's image: `python load.py generate 50`. Each call is made
once, without retries, so that whatever goes wrong is counted.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio
from clawdbot.common.v1 import message_pb2
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, StreamGenerateRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot.plugins.v1.tool_service_pb2 import InvokeToolRequest
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub

STOP = Path("/tmp/stop")
TIMEOUT = 20.0
ATTEMPTS = 30
"""How often a once-only call is tried again, one second apart."""
DAYS = 360
"""The restaurant has eight tables, takes five parties a day at each, and is booked a year ahead."""
OPTIONS = (
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)

Call = Callable[[], Awaitable[str]]


def question() -> GenerateRequest:
    text = " ".join(["word"] * 20)
    message = message_pb2.Message(role=message_pb2.ROLE_USER, parts=[message_pb2.Part(text=text)])
    return GenerateRequest(messages=[message])


def headers() -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {os.environ['KEY']}")]


def generate(channels: list[grpc.aio.Channel]) -> dict[str, Call]:
    """Unary and streamed calls, over a channel that balances by itself and over the Service's one address."""
    calls: dict[str, Call] = {}
    for channel, kind in zip(channels, ("headless", "service"), strict=True):
        stub = ModelGatewayServiceStub(channel)

        async def unary(stub: ModelGatewayServiceStub = stub) -> str:
            await stub.Generate(question(), metadata=headers(), timeout=TIMEOUT)
            return "done"

        async def stream(stub: ModelGatewayServiceStub = stub) -> str:
            last = ""
            request = StreamGenerateRequest(request=question())
            async for event in stub.StreamGenerate(request, metadata=headers(), timeout=TIMEOUT):
                last = event.WhichOneof("event") or ""
            return "done" if last == "finished" else f"it ended with {last}"

        calls |= {f"unary {kind}": unary, f"stream {kind}": stream}
    return calls


def reserve(channels: list[grpc.aio.Channel]) -> dict[str, Call]:
    """Bookings, each under its own request id, tried again until they succeed, and once more."""
    stub = ToolServiceStub(channels[0])
    numbers = itertools.count()

    async def once() -> str:
        number = next(numbers)
        request = InvokeToolRequest(tool="tables.reserve", request_id=uuid4().hex)
        day = time.gmtime(time.time() + 86_400 * (1 + number % DAYS))
        hour = 11 + 2 * (number // DAYS)
        request.arguments.update(
            {"party_size": 2, "date": time.strftime("%Y-%m-%d", day), "time": f"{hour}:00"}
        )
        references = []
        for _ in range(ATTEMPTS):
            try:
                events = stub.InvokeTool(request, metadata=headers(), timeout=TIMEOUT)
                (result,) = [each.result async for each in events if each.HasField("result")]
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(1)
                continue
            reservation = dict(result.structured)
            if result.is_error or not reservation["ok"]:
                return f"not booked: {result.content[0].text}"
            references.append(reservation["ref"])
            if len(references) == 2:  # the second one is the retry of a caller who missed the answer
                return "done" if references[0] == references[1] else "booked twice"
        return "never done"

    return {"once": once}


async def run(kind: str, per_second: float) -> dict[str, object]:
    targets = {
        "generate": ("dns:///model-gateway-headless:8082", "dns:///model-gateway:8082"),
        "reserve": ("dns:///plugins-headless:8083",),
    }[kind]
    channels = [grpc.aio.insecure_channel(each, OPTIONS) for each in targets]
    calls = {"generate": generate, "reserve": reserve}[kind](channels)
    counts: collections.Counter[str] = collections.Counter()
    slowest = 0.0

    async def one(name: str, call: Call) -> None:
        nonlocal slowest
        began = time.monotonic()
        try:
            outcome = await call()
        except grpc.aio.AioRpcError as error:
            outcome = f"{error.code().name}: {re.sub('[0-9]+', 'N', error.details() or '')}"
        counts[f"{name}: {outcome}"] += 1
        slowest = max(slowest, time.monotonic() - began)

    names = list(calls)
    started, sent = time.monotonic(), 0
    async with asyncio.TaskGroup() as tasks:
        while not STOP.exists():
            name = names[sent % len(names)]
            tasks.create_task(one(name, calls[name]))
            sent += 1
            await asyncio.sleep(max(0.0, started + sent / per_second - time.monotonic()))
    for channel in channels:
        await channel.close()
    failed = {name: count for name, count in counts.items() if not name.endswith(": done")}
    return {
        "calls": sent,
        "failed": failed,
        "seconds": round(time.monotonic() - started, 1),
        "slowest": round(slowest, 3),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], float(sys.argv[2])))))
