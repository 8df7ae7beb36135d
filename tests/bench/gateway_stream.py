"""StreamGenerate through the gateway, provider by provider, against a bare relay of the same bytes.

The backend writes as fast as it can. The relay sends each piece on its own; the gateway sends those that came
together as one, which is part of what is measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.bench.harness import Figure, conditions, interleave
from tests.bench.load import drive
from tests.bench.sides import STREAM, both_sides
from tests.bench.wires import PIECE, WORDS

GOAL = 0.7
"""Of the bare relay's streams per second."""
CALLS = 400
CALLERS = 32


def of(provider: str) -> Callable[[], Awaitable[Figure]]:
    """The measurement of one provider."""

    async def measure() -> Figure:
        async with both_sides(provider) as sides:

            async def round_of(side: str) -> float:
                stub = getattr(sides, side)

                async def call() -> None:
                    length = 0
                    async for event in stub.StreamGenerate(STREAM):
                        length += len(event.text_delta.text)
                    if length != WORDS * len(PIECE):
                        raise AssertionError(f"{side} lost text: {length} characters")

                return (await drive(call, calls=CALLS, callers=CALLERS)).per_second

            ours, against = await interleave(lambda: round_of("ours"), lambda: round_of("against"))
        return Figure(
            name=f"gateway_stream_{provider}",
            ours=ours,
            against=against,
            unit=f"streams/s of {WORDS} pieces",
            ratio=ours / against,
            goal=f">= {GOAL:g}",
            holds=ours / against >= GOAL,
            conditions=conditions(callers=CALLERS, pieces=WORDS, against="bare grpc.aio + aiohttp relay"),
        )

    return measure
