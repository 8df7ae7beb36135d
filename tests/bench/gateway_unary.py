"""Generate through the gateway, held against a bare grpc.aio + aiohttp relay of the same bytes."""

from __future__ import annotations

from tests.bench.harness import Figure, conditions, interleave
from tests.bench.load import Load, drive
from tests.bench.sides import REQUEST, both_sides

GOAL = 0.75
"""Of the bare relay's requests per second."""
CALLS = 4000
CALLERS = 64


async def measure() -> Figure:
    """Whole replies, as many at once as a busy gateway has."""
    loads: dict[str, Load] = {}
    async with both_sides("openai_compatible") as sides:

        async def round_of(side: str) -> float:
            stub = getattr(sides, side)
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
