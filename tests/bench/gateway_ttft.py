"""What the gateway adds to the time to the first text delta, compared with a bare relay."""

from __future__ import annotations

from tests.bench.gateway_setup import STREAM, gateway_and_relay
from tests.bench.harness import Figure, Stopwatch, conditions, interleave
from tests.bench.load import quantiles

GOAL = 1.0
"""Milliseconds, at the median."""
GOAL_P99 = 5.0
CALLS = 200
"""Sequential: the bench measures latency, not queueing."""


async def measure() -> Figure:
    """One caller; the time until the first text."""
    p99: dict[str, float] = {}
    async with gateway_and_relay("openai_compatible") as stubs:

        async def round_of(side: str) -> float:
            times = []
            for _ in range(CALLS):
                watch = Stopwatch()
                call = getattr(stubs, side).StreamGenerate(STREAM)
                async for event in call:
                    if event.text_delta.text:
                        times.append(watch.seconds() * 1000)
                        break
                async for _ in call:
                    pass
            median, p99[side] = quantiles(times)
            return median

        ours, against = await interleave(lambda: round_of("ours"), lambda: round_of("against"))
    added, added_p99 = ours - against, p99["ours"] - p99["against"]
    return Figure(
        name="gateway_ttft",
        ours=ours,
        against=against,
        unit="ms to the first text, p50",
        goal=f"added <= {GOAL:g}",
        holds=added <= GOAL and added_p99 <= GOAL_P99,
        conditions=conditions(
            added_p50_ms=added, added_p99_ms=added_p99, against="bare grpc.aio + aiohttp relay"
        ),
    )
