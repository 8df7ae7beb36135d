"""Generate through the gateway, compared with a bare grpc.aio + aiohttp relay of the same bytes.

Once with both on grpcio, for what the gateway itself costs; and once as it serves by default.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.bench.gateway_setup import REQUEST, gateway_and_relay
from tests.bench.harness import Figure, conditions, interleave
from tests.bench.load import Load, drive

GOALS = {"grpcio": 0.75, "native": 1.5}
"""Engine of the gateway → share of the bare relay's requests per second. The relay is on grpcio."""
NAMES = {"grpcio": "gateway_unary", "native": "gateway_native"}
CALLS = 4000
CALLERS = 64


def of(engine: str) -> Callable[[], Awaitable[Figure]]:
    """The measurement with the gateway on an engine."""
    return lambda: measure(engine)


async def measure(engine: str) -> Figure:
    """Whole replies, with the concurrency of a busy gateway."""
    goal = GOALS[engine]
    loads: dict[str, Load] = {}
    async with gateway_and_relay("openai_compatible", engine) as stubs:

        async def round_of(side: str) -> float:
            stub = getattr(stubs, side)
            loads[side] = await drive(lambda: stub.Generate(REQUEST), calls=CALLS, callers=CALLERS)
            return loads[side].per_second

        ours, against = await interleave(lambda: round_of("ours"), lambda: round_of("against"))
    return Figure(
        name=NAMES[engine],
        ours=ours,
        against=against,
        unit="requests/s",
        ratio=ours / against,
        goal=f">= {goal:g}",
        holds=ours / against >= goal,
        conditions=conditions(
            callers=CALLERS,
            engine=engine,
            against="bare grpc.aio + aiohttp relay",
            p50_ms=loads["ours"].p50_ms,
            p99_ms=loads["ours"].p99_ms,
            against_p50_ms=loads["against"].p50_ms,
            against_p99_ms=loads["against"].p99_ms,
        ),
    )
