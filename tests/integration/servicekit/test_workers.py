"""Several processes behind one port."""

import asyncio
import os
import signal
import socket
import urllib.request

import grpc
import grpc.aio
import pytest
from clawdbot.plugins.v1 import tool_service_pb2_grpc
from clawdbot_servicekit import sockets

from tests.support.conditions import until
from tests.support.engines import GRPCIO_ONLY
from tests.support.ports import free_port
from tests.support.trial_process import trial_process
from tests.support.trial_service import invoke, ticks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TWO = {"CLAWDBOT_SERVER__WORKERS": "2"}


async def worker_pids(process, count):
    """The processes that answer; returns once so many different ones have."""
    found = set()

    async def answered():
        found.add(await process.serving_pid())
        return len(found) == count

    await until(answered)
    return found


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def exited(*pids):
    """Returns when none of the processes is alive."""
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_workers_share_the_port_and_exit_together(tmp_path):
    async with trial_process(tmp_path, **TWO) as process:
        await process.serving()
        workers = await worker_pids(process, 2)
        assert process.pid not in workers
        async with process.channel() as channel:
            stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(20, 0.02)))
            await anext(stream)
            process.signal(signal.SIGTERM)
            assert len([event async for event in stream]) == 20
        assert await process.ended() == 0
        await exited(*workers)


async def test_a_killed_worker_is_replaced_and_calls_continue(tmp_path):
    port = free_port()
    metrics = {"CLAWDBOT_TELEMETRY__METRICS_PORT": str(port)}
    async with trial_process(tmp_path, **TWO, **metrics) as process:
        await process.serving()
        first = await worker_pids(process, 2)
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        (survivor,) = first - {victim}
        await exited(victim)
        assert await process.serving_pid() in {survivor, *await worker_pids(process, 2)}
        assert victim not in await worker_pids(process, 2)
        url = f"http://127.0.0.1:{port}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        assert 'clawdbot_worker_restarts_total{reason="died"} 1.0' in text
        assert 'rpc_method="clawdbot.plugins.v1.ToolService/ListTools"' in text


@GRPCIO_ONLY
async def test_a_worker_whose_event_loop_is_stuck_is_replaced(tmp_path):
    async with trial_process(tmp_path, **TWO, CLAWDBOT_SERVER__STUCK_AFTER="2") as process:
        await process.serving()
        await worker_pids(process, 2)
        async with process.channel() as channel:
            stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(invoke("stick")))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(stream)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        await process.logged("its event loop was stuck")
        assert "in InvokeTool" in process.log(), "the stuck worker's stack is in the log"
        await worker_pids(process, 2)


@GRPCIO_ONLY
async def test_a_second_signal_reaches_the_workers(tmp_path):
    async with trial_process(tmp_path, **TWO, CLAWDBOT_SERVER__GRACE="1h") as process:
        await process.serving()
        async with process.channel() as channel:
            stream = aiter(tool_service_pb2_grpc.ToolServiceStub(channel).InvokeTool(ticks(100_000, 0.05)))
            await anext(stream)
            process.signal(signal.SIGINT)
            await process.logged('"draining"')
            process.signal(signal.SIGINT)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [event async for event in stream]
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert await process.ended() == 0


@GRPCIO_ONLY
async def test_workers_do_not_outlive_a_killed_supervisor(tmp_path):
    async with trial_process(tmp_path, **TWO) as process:
        await process.serving()
        workers = await worker_pids(process, 2)
        process.signal(signal.SIGKILL)
        await process.ended()
        await exited(*workers)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ({"CLAWDBOT_TRIAL__REFUSE": "The store is broken."}, "The store is broken."),
        ({"CLAWDBOT_TRIAL__DIE": "true"}, "The workers crash while they start (exit code 7)."),
    ],
)
@GRPCIO_ONLY
async def test_workers_that_cannot_start_end_the_process_with_one_sentence(tmp_path, trouble, sentence):
    async with trial_process(tmp_path, **TWO, **trouble) as process:
        assert await process.ended() == 2
        assert process.log().splitlines()[-1].startswith(sentence)
        assert process.log().count(sentence) == 1
        assert "Traceback" not in process.log()


async def test_a_taken_port_is_detected_although_workers_share_theirs(tmp_path):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with trial_process(tmp_path, **TWO, CLAWDBOT_SERVER__PORT=str(port)) as process:
            assert await process.ended() == 2
            assert f"Port {port} on 127.0.0.1 is taken." in process.log()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_port_that_others_reserved_but_do_not_serve_yet_is_taken(tmp_path, workers):
    """Two servers that start at the same time would share it, as SO_REUSEPORT lets them."""
    with sockets.reserved_port("127.0.0.1", 0) as port:
        settings = {"CLAWDBOT_SERVER__WORKERS": workers, "CLAWDBOT_SERVER__PORT": str(port)}
        async with trial_process(tmp_path, **settings) as process:
            assert await process.ended() == 2
            assert f"Port {port} on 127.0.0.1 is taken." in process.log()


async def test_of_two_servers_that_start_together_one_gets_the_port(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    port = str(free_port())
    async with (
        trial_process(folders[0], **TWO, CLAWDBOT_SERVER__PORT=port) as first,
        trial_process(folders[1], **TWO, CLAWDBOT_SERVER__PORT=port) as second,
    ):
        ends = [asyncio.ensure_future(each.ended()) for each in (first, second)]
        done, pending = await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in done] == [2]
        loser, winner = (first, second) if ends[0] in done else (second, first)
        assert f"Port {port} on 127.0.0.1 is taken." in loser.log()
        await winner.serving()
        for each in pending:
            each.cancel()


async def test_with_port_0_all_workers_get_the_same_free_port(tmp_path):
    async with trial_process(tmp_path, **TWO, CLAWDBOT_SERVER__PORT="0") as process:
        await process.logged("worker_serves")
        said = process.log()
        process.port = int(said.split('"address":"127.0.0.1:')[1].split('"')[0])
        await worker_pids(process, 2)
