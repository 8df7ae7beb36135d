"""Generate through the gateway, compared with a bare grpc.aio + aiohttp relay of the same bytes."""

from __future__ import annotations

from tests.bench.gateway_setup import REQUEST, gateway_and_relay
from tests.bench.harness import Figure, conditions, interleave
from tests.bench.load import Load, drive

GOAL = 0.75
"""Share of the bare relay's requests per second."""
CALLS = 4000
CALLERS = 64


async def measure() -> Figure:
    """Whole replies, with the concurrency of a busy gateway."""
    loads: dict[str, Load] = {}
    async with gateway_and_relay("openai_compatible") as stubs:

        async def round_of(side: str) -> float:
            stub = getattr(stubs, side)
            loads[side] = await drive(lambda: stub.Generate(REQUEST), calls=CALLS, callers=CALLERS)
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
