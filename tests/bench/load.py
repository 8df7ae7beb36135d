"""Load: a closed loop of callers, each with its next call when its last was answered, or an open loop.

The open loop's calls go out on a schedule, whether or not earlier ones were answered.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
import grpc.aio

from tests.bench.harness import Stopwatch

FAILED_CALL = (grpc.aio.AioRpcError, aiohttp.ClientError, AssertionError)
"""What a call raises that is refused, or answered with something else than a reply."""


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


async def open_loop(
    call: Callable[[], Awaitable[object]], *, per_second: float, seconds: float
) -> list[float]:
    """Seconds of each call since it should have gone out; infinite for one that failed.

    The arrivals are random, as independent callers' are (Poisson), and the same in each round.
    """
    draw, times, clock, due_at = random.Random(1), [], Stopwatch(), 0.0

    async def one(due_at: float) -> None:
        try:
            await call()
        except FAILED_CALL:
            times.append(math.inf)
        else:
            times.append(clock.seconds() - due_at)

    async with asyncio.TaskGroup() as group:
        while due_at < seconds:
            await asyncio.sleep(due_at - clock.seconds())
            group.create_task(one(due_at))
            due_at += draw.expovariate(per_second)
    return times


def quantiles(times: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]
