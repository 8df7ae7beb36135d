"""Generate through the gateway, compared with other gateways in front of the same mock backend.

Ours is called over gRPC, theirs over HTTP, each with as many callers on one connection pool of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc.aio
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub

from tests.bench.gateway_setup import REQUEST, backend, gateway, mock_backend
from tests.bench.harness import Figure, conditions, interleave
from tests.bench.load import Load, drive
from tests.bench.peers.http_gateways import HTTP_GATEWAYS

GOALS = {"litellm": 25.0}
"""Times the peer's requests per second. The others stand beside us without a bar."""
CALLS = 4000
PEER_CALLS = {"litellm": 300, "portkey": 1500, "sglang_router": 8000}
"""So that a round of each takes seconds."""
CALLERS = 64


def of(peer: str) -> Callable[[], Awaitable[Figure]]:
    """The measurement for one peer."""

    async def measure() -> Figure:
        loads: dict[str, Load] = {}
        other = HTTP_GATEWAYS[peer]
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(mock_backend())
            served = await stack.enter_async_context(gateway(model=backend(url)))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(served.address))
            stub = ModelGatewayServiceStub(channel)
            call = await stack.enter_async_context(other.serve(url))

            async def round_of(side: str, one: Callable[[], Awaitable[object]], calls: int) -> float:
                loads[side] = await drive(one, calls=calls, callers=CALLERS)
                return loads[side].per_second

            ours, against = await interleave(
                lambda: round_of("ours", lambda: stub.Generate(REQUEST), CALLS),
                lambda: round_of("against", call, PEER_CALLS[peer]),
            )
        goal = GOALS.get(peer)
        return Figure(
            name=f"gateway_{peer}",
            ours=ours,
            against=against,
            unit="requests/s",
            ratio=ours / against,
            goal=f">= {goal:g}" if goal else "",
            holds=ours / against >= goal if goal else None,
            conditions=conditions(
                callers=CALLERS,
                against=other.package,
                p50_ms=loads["ours"].p50_ms,
                p99_ms=loads["ours"].p99_ms,
                against_p50_ms=loads["against"].p50_ms,
                against_p99_ms=loads["against"].p99_ms,
            ),
        )

    return measure
