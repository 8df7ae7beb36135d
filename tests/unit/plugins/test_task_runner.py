"""Plugins' code runs within its limits, and a limit that is met is one that is kept."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugins.core.task_runner import Bodies, Busy, OutOfTime
from structlog.testing import capture_logs


@pytest.fixture
def bodies():
    return Bodies(grace=0.2)


async def run(bodies, body, seconds=10.0, limit=10):
    return await bodies.run("code", body, seconds=seconds, limit=limit)


class Stay:
    """A body that stays until it is let go, and remembers how it ended."""

    def __init__(self):
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()
        self.ended = None

    async def __call__(self):
        self.begun.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "by itself"


async def test_time_that_is_up_cancels_the_code(bodies):
    body = Stay()
    with pytest.raises(OutOfTime):
        await run(bodies, body, seconds=0.01)
    assert body.ended == "cancelled"


async def test_a_cancelled_call_cancels_the_code_and_waits_for_it(bodies):
    body = Stay()
    call = asyncio.create_task(run(bodies, body))
    await body.begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert body.ended == "cancelled"


async def test_more_than_the_limit_is_refused_before_it_begins(bodies):
    bodies_in = [Stay(), Stay()]
    calls = [asyncio.create_task(run(bodies, body, limit=2)) for body in bodies_in]
    for body in bodies_in:
        await body.begun.wait()
    third = Stay()
    with pytest.raises(Busy):
        await run(bodies, third, limit=2)
    assert not third.begun.is_set()
    bodies_in[0].let_go.set()
    await calls[0]
    third.let_go.set()
    await run(bodies, third, limit=2)
    bodies_in[1].let_go.set()
    await calls[1]


async def test_code_that_ignores_its_cancellation_holds_up_nobody_and_still_counts(bodies):
    let_go = asyncio.Event()

    async def stubborn():
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    with capture_logs() as logs, pytest.raises(OutOfTime):
        await run(bodies, stubborn, seconds=0.01, limit=1)
    assert [line["event"] for line in logs] == ["plugin_ignores_cancellation"]
    with pytest.raises(Busy):
        await run(bodies, stubborn, limit=1)
    let_go.set()
    await bodies.stop()
    assert await run(bodies, _one, limit=1) == 1


async def _one():
    return 1


async def test_code_that_cancels_itself_does_not_look_like_a_cancelled_call(bodies):
    async def suicidal():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="cancelled itself"):
        await run(bodies, suicidal)


async def test_code_that_exits_does_not_end_the_process(bodies):
    async def leave():
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="exit"):
        await run(bodies, leave)


async def test_a_timeout_error_of_the_code_is_the_codes_own(bodies):
    async def impatient():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await run(bodies, impatient)
