"""Requests wait for a busy backend, through the RPCs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc.aio
import pytest
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as admin
from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_BATCH,
    PRIORITY_INTERACTIVE,
    PRIORITY_STANDARD,
)
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_servicekit import deadline
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import StartupError
from prometheus_client import generate_latest

from tests.support.conditions import until
from tests.support.fake_openai import HOLD as HANG_FOREVER
from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import Client, compatible, gateway
from tests.support.generate_requests import asks
from tests.support.processes import process

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
HOLD = asks("hold")
"""A request that keeps its slot until it is cancelled."""
CONNECTIONS = 24
"""Each goes to one of the two workers."""


def model(**queue):
    """A backend with one slot."""
    replies = [{"when": "hold", "fault": {"kind": "hang"}}, {"text": "yes", "delay": "20ms"}]
    return {"provider": "scripted", "replies": replies, "queue": {"concurrency": 1, **queue}}


class Caller:
    """Sends requests, and sees what waits."""

    def __init__(self, served, rpc="stream") -> None:
        self._client = served.client
        self._rpc = rpc

    async def state(self) -> admin.Backend:
        return (await self._client.admin.ListBackends(admin.ListBackendsRequest())).backends[0]

    async def in_flight(self, count) -> None:
        """Returns when the backend has so many requests."""

        async def reached():
            return (await self.state()).requests_in_flight == count

        await until(reached)

    def send(self, request, seconds=20.0) -> asyncio.Task:
        return asyncio.create_task(self._client.run(request, self._rpc, seconds))


def children(pid) -> list[int]:
    """The processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid) -> bytes:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def end(*tasks):
    """Cancels callers."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@RPCS
async def test_a_full_queue_refuses_with_the_time_to_come_back(tmp_path, rpc):
    async with gateway(tmp_path, model=model(size=1)) as served:
        caller = Caller(served, rpc)
        first, second = caller.send(HOLD), caller.send(HOLD)
        await caller.in_flight(2)
        fault = await served.client.fault(asks(), rpc)
        assert (fault.code, fault.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert fault.retry_after >= 1
        assert "queue.concurrency" in fault.message
        await end(first, second)
        await caller.in_flight(0)


@RPCS
async def test_a_request_waits_no_longer_than_the_timeout(tmp_path, rpc):
    async with gateway(tmp_path, model=model(timeout="50ms")) as served:
        caller = Caller(served, rpc)
        first = caller.send(HOLD)
        await caller.in_flight(1)
        fault = await served.client.fault(asks(), rpc)
        assert (fault.code, fault.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_TIMEOUT")
        await end(first)
        await caller.in_flight(0)
        assert await caller.send(asks())


@RPCS
async def test_a_request_learns_before_its_deadline_that_it_has_no_turn(tmp_path, rpc, monkeypatch):
    # A caller itself gives up at its deadline, which on a busy machine is before an answer just in time.
    monkeypatch.setattr(deadline, "MARGIN", 20.0)
    async with gateway(tmp_path, model=model()) as served:
        caller = Caller(served, rpc)
        first = caller.send(HOLD, seconds=60)
        await caller.in_flight(1)
        fault = await served.client.fault(asks(), rpc, seconds=21.0)
        assert (fault.code, fault.reason) == ("RESOURCE_EXHAUSTED", "DEADLINE_UNREACHABLE")
        assert fault.retry_after >= 1
        await end(first)


async def test_an_unreachable_deadline_is_refused_at_once(tmp_path):
    async with gateway(tmp_path, model=model()) as served:
        served.remember_slow_requests("scripted", 4)
        caller = Caller(served)
        first = caller.send(HOLD, seconds=600)
        await caller.in_flight(1)
        waiting = [caller.send(asks(priority=PRIORITY_INTERACTIVE), seconds=600) for _ in range(60)]
        await caller.in_flight(61)
        # Every tenth slot is for batch, so it would wait for almost forty seconds.
        async with asyncio.timeout(20):
            fault = await served.client.fault(asks(priority=PRIORITY_BATCH), seconds=30)
        assert fault.reason == "DEADLINE_UNREACHABLE"
        await end(first, *waiting)


@RPCS
async def test_a_caller_that_cancels_in_the_queue_leaves_its_place(tmp_path, rpc):
    async with gateway(tmp_path, model=model(size=1)) as served:
        caller = Caller(served, rpc)
        first, second = caller.send(HOLD), caller.send(HOLD)
        await caller.in_flight(2)
        await end(second)
        await caller.in_flight(1)
        third = caller.send(asks())
        await caller.in_flight(2)
        await end(first)
        assert await third
        await caller.in_flight(0)


async def test_an_interactive_request_overtakes_batch(tmp_path):
    async with gateway(tmp_path, model=model()) as served:
        caller = Caller(served)
        first = caller.send(HOLD)
        await caller.in_flight(1)
        ended = []
        tasks = []
        order = [PRIORITY_BATCH, PRIORITY_BATCH, PRIORITY_STANDARD, PRIORITY_INTERACTIVE]
        for number, priority in enumerate(order):
            task = caller.send(asks(priority=priority))
            task.add_done_callback(lambda _, priority=priority: ended.append(priority))
            tasks.append(task)
            await caller.in_flight(number + 2)
        state = await caller.state()
        assert [(each.priority, each.requests) for each in state.queues] == [(1, 1), (2, 1), (3, 2)]
        assert state.max_concurrency == 1
        await end(first)
        await asyncio.gather(*tasks)
        assert ended == [PRIORITY_INTERACTIVE, PRIORITY_STANDARD, PRIORITY_BATCH, PRIORITY_BATCH]


async def test_a_fallback_answers_what_the_queue_refuses(tmp_path):
    models = {
        "backends": {"a": model(size=0), "b": {"provider": "echo"}},
        "aliases": {"chat": [{"target": "a/m"}, {"target": "b/echo", "fallback": True}]},
    }
    async with gateway(tmp_path, models=models) as served:
        caller = Caller(served)
        first = caller.send(asks("hold", model="a/m"))
        await caller.in_flight(1)
        reply = await served.client.gateway.Generate(asks("x", model="chat"))
        assert reply.backend == "b"
        await end(first)


async def test_embeddings_wait_in_the_same_queue(tmp_path):
    async with fake_openai() as backend:
        config = compatible(backend.url, models=["m"], queue={"concurrency": 1, "size": 0})
        async with gateway(tmp_path, model=config) as served:
            scheduler = next(iter(served.application._components.backends.values())).scheduler
            assert scheduler.enter()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.client.gateway.Embed(EmbedRequest(texts=["a"], priority=PRIORITY_BATCH))
            assert remote_error(caught.value).reason == "QUEUE_FULL"


@pytest.mark.parametrize("rpc", ["generate", "embed"])
async def test_an_unknown_priority_is_refused(tmp_path, rpc):
    async with gateway(tmp_path) as served:
        stub = served.client.gateway
        call = stub.Generate if rpc == "generate" else stub.Embed
        request = asks(priority=9) if rpc == "generate" else EmbedRequest(texts=["a"], priority=9)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request)
    assert [each.field for each in remote_error(caught.value).violations] == ["priority"]


async def test_metrics_show_the_queue(tmp_path):
    async with gateway(tmp_path, model=model(size=1)) as served:
        caller = Caller(served)
        first = caller.send(HOLD)
        await caller.in_flight(1)
        second = caller.send(asks())
        await caller.in_flight(2)
        assert (await served.client.fault(asks())).reason == "QUEUE_FULL"
        load = 'backend="scripted",priority="standard"'
        expected = (
            'clawdbot_backend_requests_in_flight{backend="scripted"} 1.0',
            'clawdbot_backend_max_concurrency{backend="scripted"} 1.0',
            f"clawdbot_backend_queue_length{{{load}}} 1.0",
            f'clawdbot_backend_requests_shed_total{{{load},reason="QUEUE_FULL"}} 1.0',
        )
        registry = served.host.metrics.registry
        await until(lambda: all(each in generate_latest(registry).decode() for each in expected))
        await end(first)
        await second
        assert f"queue_wait_seconds_count{{{load}}} 1.0" in generate_latest(registry).decode()


@pytest.mark.parametrize(("rpc", "count"), [("stream", "1.0"), ("generate", "0.0")])
async def test_metrics_show_how_soon_a_streamed_reply_begins(tmp_path, rpc, count):
    async with gateway(tmp_path, model=model()) as served:
        await served.client.run(asks(), rpc)
        shown = f'clawdbot_backend_time_to_first_token_seconds_count{{backend="scripted"}} {count}'
        await until(lambda: shown in generate_latest(served.host.metrics.registry).decode())


async def test_an_adaptive_backend_takes_more_until_it_says_that_it_is_overloaded(tmp_path):
    config = model(concurrency={"min": 1, "max": 8})
    config["replies"].insert(0, {"when": "too much", "fault": {"kind": "overloaded"}})
    config["replies"][-1]["delay"] = "100ms"
    async with gateway(tmp_path, model=config) as served:
        caller = Caller(served)
        assert (await caller.state()).max_concurrency == 1
        await asyncio.gather(*(caller.send(asks()) for _ in range(30)))
        assert (await caller.state()).max_concurrency == 8
        assert (await served.client.fault(asks("too much"))).reason == "BACKEND_OVERLOADED"
        assert (await caller.state()).max_concurrency == 5


async def test_more_slots_than_connections_stop_the_start(tmp_path):
    config = compatible("http://127.0.0.1:9", http={"pool_size": 4}, queue={"concurrency": 5})
    with pytest.raises(StartupError, match=r"model\.http\.pool_size, which is 4"):
        async with gateway(tmp_path, model=config):
            pass


@pytest.mark.integration
async def test_workers_share_the_slots_also_after_one_was_killed(tmp_path):
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(fake_openai())
        backend.will(*[HANG_FOREVER] * 1000)
        plugins = await stack.enter_async_context(process("clawdbot_plugins", state=tmp_path / "plugins"))
        config = compatible(backend.url, api_key=KEY, models=["m"], queue={"concurrency": 4})
        settings = {
            "CLAWDBOT_SERVER__WORKERS": "2",
            "CLAWDBOT_MODEL": json.dumps(config),
            "CLAWDBOT_PEERS__PLUGINS": plugins.address,
        }
        served = await stack.enter_async_context(
            process("clawdbot_model_gateway", state=tmp_path / "gateway", environment=settings)
        )

        def sent() -> int:
            return sum(each.path.endswith("completions") for each in backend.asked) - backend.left

        async def send_again_and_again(channel) -> None:
            while True:
                with suppress(grpc.aio.AioRpcError):
                    await Client(channel).run(HOLD, "stream", 60.0)
                await asyncio.sleep(0.05)

        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(served.address, options))
            for _ in range(CONNECTIONS)
        ]
        tasks = [asyncio.create_task(send_again_and_again(each)) for each in channels]
        stack.push_async_callback(end, *tasks)
        await until(lambda: sent() == 4)
        await asyncio.sleep(0.1)
        assert sent() == 4
        workers = [each for each in children(served.pid) if b"clawdbot_model_gateway" in command(each)]
        for each in workers:
            os.kill(each, signal.SIGKILL)
            await asyncio.sleep(0.5)
        # The requests of other workers get the slots of those that died.
        await until(lambda: backend.left >= 4)
        await until(lambda: sent() == 4)
        await asyncio.sleep(0.1)
        assert sent() == 4
