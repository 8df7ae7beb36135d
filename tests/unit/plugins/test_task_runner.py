"""Plugins' code runs within its limits: timeout, concurrency and cancellation."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot_plugins.core.task_runner import TaskLimitReached, TaskRunner, TaskTimedOut
from structlog.testing import capture_logs


@pytest.fixture
def task_runner():
    return TaskRunner(grace=0.2)


async def run(task_runner, function, seconds=10.0, limit=10):
    return await task_runner.run("code", function, timeout_seconds=seconds, limit=limit)


class Blocking:
    """A function that blocks until it is released, and remembers how it ended."""

    def __init__(self):
        self.started, self.released = asyncio.Event(), asyncio.Event()
        self.ended = None

    async def __call__(self):
        self.started.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "by itself"


async def test_a_timeout_cancels_the_code(task_runner):
    function = Blocking()
    with pytest.raises(TaskTimedOut):
        await run(task_runner, function, seconds=0.01)
    assert function.ended == "cancelled"


async def test_a_cancelled_call_cancels_the_code_and_waits_for_it(task_runner):
    function = Blocking()
    call = asyncio.create_task(run(task_runner, function))
    await function.started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert function.ended == "cancelled"


async def test_more_than_the_limit_is_refused_before_it_starts(task_runner):
    running = [Blocking(), Blocking()]
    calls = [asyncio.create_task(run(task_runner, function, limit=2)) for function in running]
    for function in running:
        await function.started.wait()
    third = Blocking()
    with pytest.raises(TaskLimitReached):
        await run(task_runner, third, limit=2)
    assert not third.started.is_set()
    running[0].released.set()
    await calls[0]
    third.released.set()
    await run(task_runner, third, limit=2)
    running[1].released.set()
    await calls[1]


async def test_code_that_ignores_its_cancellation_blocks_nobody_and_still_counts(task_runner):
    released = asyncio.Event()

    async def stubborn():
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    with capture_logs() as logs, pytest.raises(TaskTimedOut):
        await run(task_runner, stubborn, seconds=0.01, limit=1)
    assert [line["event"] for line in logs] == ["plugin_ignores_cancellation"]
    with pytest.raises(TaskLimitReached):
        await run(task_runner, stubborn, limit=1)
    released.set()
    await task_runner.stop()
    assert await run(task_runner, _one, limit=1) == 1


async def _one():
    return 1


async def test_code_that_cancels_itself_does_not_look_like_a_cancelled_call(task_runner):
    async def cancel_self():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="cancelled itself"):
        await run(task_runner, cancel_self)


async def test_code_that_exits_does_not_end_the_process(task_runner):
    async def leave():
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="exit"):
        await run(task_runner, leave)


async def test_a_timeout_error_of_the_code_passes_through(task_runner):
    async def time_out():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await run(task_runner, time_out)
