"""A blocked event loop is in the log within seconds, with one process as with several."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request

import pytest
from clawdbot.plugins.v1 import tool_service_pb2_grpc
from clawdbot_servicekit.watchdog import STALL_AFTER

from tests.support.engines import GRPCIO_ONLY
from tests.support.ports import free_port
from tests.support.trial_process import trial_process
from tests.support.trial_service import invoke

pytestmark = [pytest.mark.integration, GRPCIO_ONLY]
"""What watches the event loop knows no engine."""


def events(process, name):
    lines = [json.loads(line) for line in process.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_blocked_loop_is_logged_with_its_stack_and_counted_once_and_again_when_it_ends(
    tmp_path, workers
):
    port = free_port()
    settings = {"CLAWDBOT_TELEMETRY__METRICS_PORT": str(port), "CLAWDBOT_SERVER__WORKERS": workers}
    async with trial_process(tmp_path, **settings) as process:
        await process.serving()
        async with process.channel() as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            fifo = tmp_path / "fifo"
            os.mkfifo(fifo)
            call = stub.InvokeTool(invoke("fifo", path=str(fifo), ticks=1))
            reading = asyncio.ensure_future(call.read())
            await process.logged("event_loop_blocked")
            assert not reading.done(), "told while it is blocked"
            url = f"http://127.0.0.1:{port}/metrics"
            text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
            seen = events(process, "event_loop_blocked")
            assert f"clawdbot_event_loop_stalls_total {len(seen):.1f}" in text
            await asyncio.to_thread(fifo.write_bytes, b"")
            await reading
            await process.logged("event_loop_unblocked")
        (blocked,) = [
            each
            for each in events(process, "event_loop_blocked")
            if each["stack"][-1].endswith("in InvokeTool")
        ]
        assert blocked["level"] == "error"
        # A machine that stops the process for a while blocks the loop as well.
        unblocked = events(process, "event_loop_unblocked")
        assert len(unblocked) == len(events(process, "event_loop_blocked"))
        assert all(each["seconds"] > STALL_AFTER for each in unblocked)


async def test_the_stacks_are_logged_while_no_python_thread_can_run(tmp_path):
    async with trial_process(tmp_path) as process:
        await process.serving()
        async with process.channel() as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            reading = asyncio.ensure_future(stub.InvokeTool(invoke("executor", how="freeze")).read())
            await process.logged("in _freeze")
            reading.cancel()


async def test_a_loop_that_is_only_busy_is_not_called_blocked(tmp_path):
    async with trial_process(tmp_path) as process:
        await process.serving()
        before = events(process, "event_loop_blocked")
        async with process.channel() as channel:
            stub = tool_service_pb2_grpc.ToolServiceStub(channel)
            call = stub.InvokeTool(invoke("stick", how="sleep", seconds=0.5, ticks=3))
            assert len([event async for event in call]) == 4
        assert events(process, "event_loop_blocked") == before


SLOW_END = """
import asyncio, sys, time
from clawdbot_servicekit import watchdog
watchdog.FROZEN_AFTER = 1

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(3)

async def main():
    watchdog.Watchdog()

sys.slow = Slow()
asyncio.run(main())
"""


def test_an_interpreter_that_takes_long_to_end_is_not_called_frozen():
    done = subprocess.run([sys.executable, "-c", SLOW_END], check=True, capture_output=True, timeout=60)
    assert done.stderr == b""
