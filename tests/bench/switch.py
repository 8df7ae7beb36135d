"""SwitchModel under load: how long a switch takes, and whether a request is lost or goes the old way."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import AsyncExitStack

import grpc.aio
from clawdbot.model_gateway.v1.model_admin_service_pb2 import SwitchModelRequest, Target
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub

from tests.bench.gateway_setup import REQUEST, backend, gateway, mock_backend, read_stream
from tests.bench.harness import Figure, Stopwatch, conditions
from tests.bench.load import quantiles

GOAL = 1.0
"""Milliseconds in the gateway, at the 99th percentile."""
SWITCHES = 500
WARM_UP = 50
"""Switches before those that count."""
CALLERS = 64
"""Half of them stream."""
ALIAS = "default"


async def measure() -> Figure:
    """Switches to and fro between two backends while the callers call without a pause."""
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(mock_backend()) for name in "ab"}
        models = {
            "backends": {name: backend(url, models=["mock"]) for name, url in urls.items()},
            "aliases": {ALIAS: "a/mock"},
        }
        served = await stack.enter_async_context(gateway(models=models))
        # The admin's own connection: its calls would wait behind the load's, in the client.
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(served.address, (("grpc.use_local_subchannel_pool", 1),))
            )
            for _ in range(2)
        ]
        load = _Load(ModelGatewayServiceStub(channels[0]))
        admin, probe = ModelAdminServiceStub(channels[1]), ModelGatewayServiceStub(channels[1])
        inside, outside = await load.during(lambda: _switches(admin, probe, load.counts))
    p50, ours = quantiles(inside)
    lost, stale = load.counts["lost"], load.counts["to_old_target"]
    return Figure(
        name="switch",
        ours=ours,
        unit="ms to switch, p99",
        goal=f"< {GOAL:g}, 0 lost",
        holds=ours < GOAL and not lost and not stale,
        conditions=conditions(
            callers=CALLERS,
            switches=SWITCHES,
            rounds=1,
            p50_ms=p50,
            client_p99_ms=quantiles(outside)[1],
            lost=lost,
            to_old_target=stale,
            requests=load.counts["generate"],
            streams=load.counts["stream"],
        ),
    )


class _Load:
    """Callers that call without a pause, and what became of their calls."""

    def __init__(self, stub: ModelGatewayServiceStub) -> None:
        self.counts = Counter[str]()
        self._calls = {"generate": lambda: stub.Generate(REQUEST), "stream": lambda: read_stream(stub)}

    async def during(self, work):
        """The work's result. The calls in flight are finished, not cancelled."""
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for kind in itertools.islice(itertools.cycle(self._calls), CALLERS):
                group.create_task(self._caller(kind, ended))
            try:
                return await work()
            finally:
                ended.set()

    async def _caller(self, kind: str, ended: asyncio.Event) -> None:
        while not ended.is_set():
            try:
                await self._calls[kind]()
            except (grpc.aio.AioRpcError, AssertionError):
                self.counts["lost"] += 1
            self.counts[kind] += 1


async def _switches(admin, probe, counts) -> tuple[list[float], list[float]]:
    """Milliseconds of each switch as the gateway says, and as its client sees them."""
    inside, outside = [], []
    for name in itertools.islice(itertools.cycle("ba"), WARM_UP + SWITCHES):
        request = SwitchModelRequest(alias=ALIAS, targets=[Target(target=f"{name}/mock")])
        watch = Stopwatch()
        reply = await admin.SwitchModel(request)
        outside.append(watch.seconds() * 1000)
        inside.append(reply.elapsed.ToNanoseconds() / 1e6)
        counts["to_old_target"] += (await probe.Generate(REQUEST)).backend != name
    return inside[WARM_UP:], outside[WARM_UP:]
