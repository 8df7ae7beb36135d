"""A backend's slots on a real event loop: callers that leave at the worst moment."""

from __future__ import annotations

import asyncio
import math
import random
import time

import pytest
from clawdbot_model_gateway.core import backends
from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.errors import ModelError
from clawdbot_model_gateway.core.scheduling.scheduler import MIN_TIMES, QueueLimits, Scheduler
from clawdbot_servicekit import deadline

from tests.support.conditions import until
from tests.support.generate_requests import asks
from tests.support.scripted_provider import FakeProvider

ROUNDS = 64


def backend(slots=1, **queue):
    return Backend(
        "a", "fake", FakeProvider(), scheduler=Scheduler(slots, QueueLimits(**queue), time.monotonic)
    )


async def hold(one, release, entered=None, expires_at=math.inf):
    """Keeps a slot until it is released."""
    async with one.slot(asks(), expires_at=expires_at):
        if entered is not None:
            entered.set()
        await release.wait()


def no_time():
    release = asyncio.Event()
    release.set()
    return release


@pytest.mark.parametrize("turns", range(4))
async def test_a_waiter_that_is_cancelled_as_its_turn_comes_passes_the_slot_on(turns):
    one = backend()
    for _ in range(ROUNDS):
        release, entered, never = asyncio.Event(), asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(hold(one, release, entered))
        await entered.wait()
        second = asyncio.create_task(hold(one, never))
        third = asyncio.create_task(hold(one, release))
        await asyncio.sleep(0)
        assert one.in_flight == 3
        release.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert second.cancelled()
        assert (one.in_flight, one.scheduler.waiting) == (0, 0)


@pytest.mark.parametrize("busy", [False, True])
async def test_how_long_slots_are_held_says_nothing_while_the_event_loop_is_busy(busy, monkeypatch):
    """As it is while thousands of calls arrive: none of them is refused for the time that this takes."""
    if not busy:
        # Other processes may keep the processor busy.
        monkeypatch.setattr(backends, "MAX_LATE", 1e9)
    one = backend()
    for _ in range(MIN_TIMES):
        async with one.slot(asks()):
            waiting = asyncio.create_task(hold(one, no_time()))
            await until(lambda: one.scheduler.waiting)
            if busy:
                time.sleep(0.1)  # noqa: ASYNC251 - blocks the event loop, which is the point
            else:
                await asyncio.sleep(0.1)
        await waiting
    async with one.slot(asks()):
        hurried = asyncio.create_task(hold(one, no_time(), expires_at=time.monotonic() + 0.01))
        await asyncio.sleep(0)
        assert hurried.done() is not busy
    await asyncio.gather(hurried, return_exceptions=True)


async def test_random_callers_leave_every_slot_free():
    draw = random.Random(7)
    one = backend(slots=3, size=20, timeout=0.05)
    busiest = 0

    async def call():
        nonlocal busiest
        deadline.enter_deadline(draw.choice([None, 0.06, 0.2]))
        async with one.slot(asks(priority=draw.randrange(4))):
            busiest = max(busiest, one.scheduler.in_flight)
            await asyncio.sleep(draw.choice([0, 0.001, 0.01]))

    tasks = []
    for _ in range(600):
        tasks.append(asyncio.create_task(call()))
        if draw.random() < 0.3:
            draw.choice(tasks).cancel()
        if draw.random() < 0.2:
            await asyncio.sleep(0.002)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    unexpected = [
        each
        for each in results
        if each is not None and not isinstance(each, ModelError | asyncio.CancelledError)
    ]
    assert unexpected == []
    assert busiest == 3
    assert (one.in_flight, one.scheduler.waiting) == (0, 0)


async def test_a_request_that_fails_frees_its_slot():
    one = backend()
    for _ in range(ROUNDS):
        with pytest.raises(RuntimeError):
            async with one.slot(asks()):
                raise RuntimeError
    assert one.in_flight == 0


async def test_a_free_slot_needs_no_step_of_the_event_loop():
    one = backend()
    steps = 0

    async def count():
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for _ in range(ROUNDS):
        async with one.slot(asks()):
            pass
    assert steps == 0
    counting.cancel()
