"""What is written to a child that has ended is lost, on each event loop."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import pytest
import uvloop
from clawdbot_servicekit.child_input import feed
from clawdbot_servicekit.limited_process import LimitedProcesses, LimitReached, Limits

from tests.support.conditions import until

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_a_child_gets_all_of_it(new_loop):
    async def run():
        command = (sys.executable, "-c", "import sys; print(len(sys.stdin.buffer.read()))")
        child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        await feed(child, b"x" * 1_000_000)
        child.stdin.close()
        return (await child.communicate())[0]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(run()) == b"1000000\n"


@LOOPS
@pytest.mark.parametrize("noticed", [True, False])
def test_a_child_that_has_ended_takes_nothing(new_loop, noticed):
    async def run():
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "", stdin=PIPE)
        if noticed:
            await until(child.stdin.is_closing)
        await feed(child, b"x" * 1_000_000)
        return await child.wait()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(run()) == 0


@LOOPS
def test_a_limited_process_that_was_killed_before_the_question_has_reached_a_limit(new_loop):
    async def run():
        limits = Limits(seconds=60, memory=1024**3, processes=1)
        async with LimitedProcesses("tests.support.limited_questions", limits).start() as process:
            process._process.send_signal(signal.SIGKILL)
            await until(process._process.stdin.is_closing)
            with pytest.raises(LimitReached):
                await process.ask(b"1 + 1")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())
