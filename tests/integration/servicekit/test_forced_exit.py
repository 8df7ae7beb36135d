"""SIGTERM ends the process within grace + 10 s, whatever runs, and the log says what did."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from clawdbot.plugins.v1 import tool_service_pb2_grpc
from clawdbot_servicekit.application import Application
from clawdbot_servicekit.error_table import ErrorTable
from clawdbot_servicekit.host import STOP_TIMEOUT, Host
from clawdbot_servicekit.watchdog import FORCE_AFTER, FORCED_EXIT_CODE
from structlog.testing import capture_logs
from typing_extensions import override

from tests.support.engines import GRPCIO_ONLY
from tests.support.hosts import trial_settings
from tests.support.trial_process import trial_process
from tests.support.trial_service import invoke

pytestmark = [pytest.mark.integration, GRPCIO_ONLY]
"""What ends a process knows no engine, and the tests take long."""

GRACE = 0.5
LIMIT = GRACE + 10 + 50
"""The last fifty are for a busy machine. What is guarded against takes an hour."""


async def seconds_to_end(process, request=None, *, signals=1):
    """Has the process do something, sends SIGTERM, and returns its exit code and how long it took to end."""
    await process.serving()
    async with process.channel() as channel:
        if request is not None:
            call = tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(request)
            calling = asyncio.ensure_future(call.read())
            await process.logged('"invoked"')
        started = time.monotonic()
        for _ in range(signals):
            process.signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        code = await process.ended()
        if request is not None:
            calling.cancel()
        return code, time.monotonic() - started


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("tool", "how", "told"),
    [
        ("stick", "sleep", "in InvokeTool"),
        ("stick", "spin", "in _spin"),
        ("stick", "digest", "in _digest"),
        ("stick", "freeze", "in _freeze"),
        ("executor", "spin", "in _spin"),
        ("executor", "digest", "in _digest"),
        ("executor", "freeze", "in _freeze"),
        ("thread", "sleep", "in run"),
        ("stubborn", "", "HandleExceptions"),
    ],
)
async def test_sigterm_ends_the_process_whatever_its_calls_do(tmp_path, workers, tool, how, told):
    settings = {"CLAWDBOT_SERVER__GRACE": str(GRACE), "CLAWDBOT_SERVER__WORKERS": workers}
    async with trial_process(tmp_path, **settings) as process:
        code, seconds = await seconds_to_end(process, invoke(tool, how=how, seconds=3600))
        assert seconds < LIMIT
        # While C code holds the interpreter's lock, or a signal handler cannot run, only another process can.
        killed = (workers == "1" and "freeze" in how) or (tool, how) == ("stick", "digest")
        assert code == (-signal.SIGKILL if killed and workers == "1" else FORCED_EXIT_CODE)
        assert told in process.log()


@pytest.mark.parametrize("how", ["hang", "ignore", "sleep"])
async def test_sigterm_ends_the_process_whatever_its_applications_do_when_they_stop(tmp_path, how):
    settings = {"CLAWDBOT_SERVER__GRACE": str(GRACE), "CLAWDBOT_TRIAL__STOP": how}
    async with trial_process(tmp_path, **settings) as process:
        code, seconds = await seconds_to_end(process)
        assert seconds < LIMIT
        assert code == (0 if how == "hang" else FORCED_EXIT_CODE)
        assert ("stop_timed_out" if how == "hang" else "exit_forced") in process.log()


async def test_a_second_signal_does_not_wait_for_the_grace_and_a_third_for_nothing(tmp_path):
    for signals, limit in ((2, LIMIT), (3, FORCE_AFTER)):
        async with trial_process(tmp_path, CLAWDBOT_SERVER__GRACE="1h") as process:
            code, seconds = await seconds_to_end(process, invoke("stick", seconds=3600), signals=signals)
            assert (code, seconds < limit) == (FORCED_EXIT_CODE, True)


class Hanging(Application):
    """One that never stops."""

    def __init__(self):
        super().__init__("plugins", ErrorTable({}), {})

    @property
    @override
    def dependencies(self):
        return ()

    @override
    async def start(self):
        pass

    @override
    async def stop(self):
        await asyncio.Event().wait()


async def test_many_parts_that_do_not_stop_take_no_longer_than_one_and_the_others_are_stopped(tmp_path):
    closed = []

    async def close():
        closed.append(1)

    host = Host(trial_settings(tmp_path))
    for _ in range(3):
        host.add(Hanging())
    host.on_stop(close)
    for _ in range(3):
        host.on_stop(asyncio.Event().wait)
    await host.start()
    with capture_logs() as log:
        await host.stop(0)
    waited = [line["seconds"] for line in log if line["event"] == "stop_timed_out"]
    assert len(waited) == 6
    assert sum(waited) < STOP_TIMEOUT + 1
    assert closed == [1]
