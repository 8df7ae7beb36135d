"""Generate from the cache, compared with a bare grpc.aio server that answers the same bytes at once."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import grpc.aio
import uvloop
from clawdbot.model_gateway.v1 import generation_pb2, model_gateway_service_pb2_grpc

from tests.bench.gateway_setup import REQUEST, gateway, script
from tests.bench.harness import SERVER_CPU, Figure, conditions, interleave
from tests.bench.load import Load, drive

GOAL = 0.6
"""Share of the bare echo's requests per second."""
CALLS = 4000
CALLERS = 64
CACHED = generation_pb2.GenerateRequest(
    messages=REQUEST.messages,
    cache=generation_pb2.CachePolicy(mode=generation_pb2.CachePolicy.MODE_USE),
)


class Echo(model_gateway_service_pb2_grpc.ModelGatewayServiceServicer):
    """Answers every request with the same reply."""

    def __init__(self, reply: generation_pb2.GenerateResponse) -> None:
        self._reply = reply

    async def Generate(self, request, context):
        return self._reply


async def measure() -> Figure:
    """Hits in the memory of the worker, with the concurrency of a busy gateway."""
    loads: dict[str, Load] = {}
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            gateway(model={"provider": "echo"}, server={"engine": "grpcio"})
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(served.address))
        ours = model_gateway_service_pb2_grpc.ModelGatewayServiceStub(channel)
        await ours.Generate(CACHED)
        reply = await ours.Generate(CACHED)
        assert reply.cache_status == generation_pb2.CACHE_STATUS_HIT
        echo = await stack.enter_async_context(
            script("tests.bench.gateway_cached", reply.SerializeToString().hex(), cpu=SERVER_CPU)
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(echo.address))
        against = model_gateway_service_pb2_grpc.ModelGatewayServiceStub(channel)

        async def round_of(stub: model_gateway_service_pb2_grpc.ModelGatewayServiceStub, side: str) -> float:
            loads[side] = await drive(lambda: stub.Generate(CACHED), calls=CALLS, callers=CALLERS)
            return loads[side].per_second

        ours_per_second, against_per_second = await interleave(
            lambda: round_of(ours, "ours"), lambda: round_of(against, "against")
        )
    ratio = ours_per_second / against_per_second
    return Figure(
        name="gateway_cached",
        ours=ours_per_second,
        against=against_per_second,
        unit="requests/s",
        ratio=ratio,
        goal=f">= {GOAL:g}",
        holds=ratio >= GOAL,
        conditions=conditions(
            callers=CALLERS,
            against="bare grpc.aio server with the same reply",
            p50_ms=loads["ours"].p50_ms,
            p99_ms=loads["ours"].p99_ms,
            against_p50_ms=loads["against"].p50_ms,
            against_p99_ms=loads["against"].p99_ms,
        ),
    )


async def main(reply: str) -> None:
    """Serves the echo until it is killed."""
    server = grpc.aio.server()
    echo = Echo(generation_pb2.GenerateResponse.FromString(bytes.fromhex(reply)))
    model_gateway_service_pb2_grpc.add_ModelGatewayServiceServicer_to_server(echo, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
