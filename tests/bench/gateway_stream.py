"""StreamGenerate through the gateway, provider by provider, compared with a bare relay of the same bytes.

The backend writes as fast as it can. The relay sends each delta on its own; the gateway merges those that
arrive together, which is part of what is measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.bench.canned_streams import DELTAS
from tests.bench.gateway_setup import gateway_and_relay, read_stream
from tests.bench.harness import Figure, conditions, interleave
from tests.bench.load import drive

GOAL = 0.7
"""Share of the bare relay's streams per second."""
CALLS = 400
CALLERS = 32


def of(provider: str) -> Callable[[], Awaitable[Figure]]:
    """The measurement for one provider."""

    async def measure() -> Figure:
        async with gateway_and_relay(provider) as stubs:

            async def round_of(side: str) -> float:
                stub = getattr(stubs, side)
                return (await drive(lambda: read_stream(stub), calls=CALLS, callers=CALLERS)).per_second

            ours, against = await interleave(lambda: round_of("ours"), lambda: round_of("against"))
        return Figure(
            name=f"gateway_stream_{provider}",
            ours=ours,
            against=against,
            unit=f"streams/s of {DELTAS} deltas",
            ratio=ours / against,
            goal=f">= {GOAL:g}",
            holds=ours / against >= GOAL,
            conditions=conditions(callers=CALLERS, deltas=DELTAS, against="bare grpc.aio + aiohttp relay"),
        )

    return measure
