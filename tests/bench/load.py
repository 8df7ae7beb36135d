"""A closed loop of callers: so many at once, each with its next call when its last was answered."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.bench.harness import Stopwatch


@dataclass(frozen=True, slots=True)
class Load:
    """What a round of calls came to."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def drive(call: Callable[[], Awaitable[object]], *, calls: int, callers: int) -> Load:
    """Makes `calls` calls from `callers` concurrent callers. A failed call fails the round."""
    left = iter(range(calls))
    times: list[float] = []

    async def caller() -> None:
        for _ in left:
            watch = Stopwatch()
            await call()
            times.append(watch.seconds())

    watch = Stopwatch()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    total = watch.seconds()
    median, p99 = quantiles(times)
    return Load(calls / total, median * 1000, p99 * 1000)


def quantiles(times: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]
