"""Limited processes answer questions; they end at their limits, and with the block that started them."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from clawdbot_servicekit.limited_process import LimitedProcesses, LimitReached, Limits

ROOT = Path(__file__).parents[3]
ENDLESS = b"sum(range(10**12))"
OWN_ID = b"__import__('os').getpid()"


@pytest.fixture(autouse=True)
def tests_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def processes(seconds=100.0, memory=1024**3, at_a_time=1):
    return LimitedProcesses("tests.support.limited_questions", Limits(seconds, memory, at_a_time))


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_answers_any_number_of_questions_of_any_size():
    async with processes().start() as process:
        assert await process.ask(b"1 + 1") == b"2"
        assert await process.ask(b"len('%s')" % (b"x" * 3_000_000)) == b"3000000"
        assert await process.ask(b"'y' * 3_000_000") == b"y" * 3_000_000


async def test_a_process_that_computes_too_long_is_ended():
    before = time.monotonic()
    async with processes(seconds=1.0).start() as process:
        with pytest.raises(LimitReached, match="1 seconds"):
            await process.ask(ENDLESS)
    assert time.monotonic() - before < 30


async def test_a_process_that_sleeps_too_long_is_ended():
    async with processes(seconds=0.5).start() as process:
        with pytest.raises(LimitReached, match=r"0\.5 seconds"):
            await process.ask(b"__import__('time').sleep(60)")


async def test_a_process_that_needs_too_much_memory_is_ended():
    async with processes(memory=256 * 1024**2).start() as process:
        with pytest.raises(LimitReached, match="256 MB of memory"):
            await process.ask(b"len(list(range(10**9)))")


async def test_a_process_that_crashes_has_reached_a_limit():
    async with processes().start() as process:
        with pytest.raises(LimitReached):
            await process.ask(b"__import__('os').abort()")
        with pytest.raises(LimitReached):
            await process.ask(b"1")


async def test_a_cancelled_caller_takes_its_process_along_and_frees_its_place():
    started, numbers, known = processes(), [], asyncio.Event()

    async def ask():
        async with started.start() as process:
            numbers.append(int(await process.ask(OWN_ID)))
            known.set()
            await process.ask(ENDLESS)

    asking = asyncio.create_task(ask())
    await known.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not alive(numbers[0])
    async with started.start() as process:
        assert await process.ask(b"2") == b"2"


async def test_more_processes_than_are_allowed_wait():
    started = processes()
    async with started.start() as first:
        second = asyncio.create_task(started.start().__aenter__())
        await first.ask(b"1")
        assert not second.done()
        second.cancel()
    assert (await asyncio.gather(second, return_exceptions=True))[0].__class__ is asyncio.CancelledError
