"""Equal requests in flight share one call to the backend."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import grpc
import grpc.aio
import pytest
from clawdbot.model_gateway.v1.generation_pb2 import (
    CacheStatus,
    Priority,
)
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed, RateLimited
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import InvalidRequest
from structlog.testing import capture_logs

from tests.support.cached_gateway import (
    BYPASS,
    REFRESH,
    REPORTED,
    RPCS,
    USE,
    ask,
    cached,
    costs,
    followers,
    replies_of,
    status,
    text,
)
from tests.support.conditions import until
from tests.support.generate_requests import asks, text_of
from tests.support.redis_server import silent_server
from tests.support.scripted_provider import WAIT, FakeProvider, says


@RPCS
async def test_equal_requests_in_flight_share_one_call(tmp_path, rpc):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *costs("yes", " sir")[1:]]
    async with cached(tmp_path, script) as (served, backend):
        async with asyncio.TaskGroup() as group:
            kinds = [rpc, "stream", "generate"] * 10
            calls = [group.create_task(ask(served, rpc=each)) for each in kinds]
            await until(lambda: followers(served) == 30)
            gate.set()
        replies = [each.result() for each in calls]
        assert served.idle
    assert len(backend.asked) == 1
    assert {text(each) for each in replies} == {"yes sir"}
    assert sorted(map(status, replies)) == ["COALESCED"] * 29 + ["MISS"]
    assert sum(each.usage.cost_micros for each in replies) == 77, "it is paid for once"


async def test_a_late_joiner_gets_what_was_said_and_then_follows(tmp_path):
    gate = asyncio.Event()
    script = [events.started("m"), events.text_delta("well"), gate, *costs(" then")[1:]]
    async with cached(tmp_path, script) as (served, backend):
        first = aiter(served.client.stream(asks(model="chat", cache=USE)))
        assert [(await anext(first)).WhichOneof("event") for _ in range(2)] == ["started", "text_delta"]
        second = aiter(served.client.stream(asks(model="chat", cache=USE)))
        assert (await anext(second)).started.cache_status == CacheStatus.CACHE_STATUS_COALESCED
        assert (await anext(second)).text_delta.text == "well"
        gate.set()
        for each in (first, second):
            assert text_of([event async for event in each]) == " then"
    assert len(backend.asked) == 1


async def test_an_error_goes_to_all_and_each_moves_on(tmp_path):
    gate, b = asyncio.Event(), FakeProvider(says("from b"))
    async with cached(tmp_path, [gate, RateLimited("busy", retry_after=7)], b=b) as (served, backend):
        request = asks(model="chat", cache=USE)
        async with asyncio.TaskGroup() as group:
            alone = [group.create_task(served.client.fault(request)) for _ in range(5)]
            both = [group.create_task(ask(served, asks(model="both", cache=USE))) for _ in range(5)]
            await until(lambda: followers(served) == 10)
            gate.set()
        faults = [each.result() for each in alone]
        assert served.idle
    assert {each.reason for each in faults} == {"BACKEND_RATE_LIMITED"}
    assert {each.retry_after for each in faults} == {7.0}
    assert {text(each.result()) for each in both} == {"from b"}
    assert (len(backend.asked), len(b.asked)) == (1, 1)


async def test_the_log_has_one_line_for_a_failure_that_calls_share(tmp_path):
    gate = asyncio.Event()
    async with cached(tmp_path, [gate, RateLimited("busy")]) as (served, _):
        request = asks(model="chat", cache=USE)
        with capture_logs() as log:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(served.client.fault(request)) for _ in range(5)]
                await until(lambda: followers(served) == 5)
                gate.set()
    assert {each.result().reason for each in calls} == {"BACKEND_RATE_LIMITED"}
    assert sum(line["event"] == "attempt_failed" for line in log) == 1


async def test_an_error_in_the_middle_ends_all_streams(tmp_path):
    gate = asyncio.Event()
    script = [events.started("m"), events.text_delta("well"), gate, BackendFailed("x")]
    async with cached(tmp_path, script) as (served, backend):
        calls = [aiter(served.client.stream(asks(model="chat", cache=USE))) for _ in range(3)]
        for each in calls:
            assert (await anext(each)).HasField("started")
        gate.set()
        for each in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [event async for event in each]
            assert remote_error(caught.value).reason == "BACKEND_FAILED"
        assert served.idle
    assert len(backend.asked) == 1


@RPCS
async def test_one_that_leaves_does_not_disturb_the_others(tmp_path, rpc):
    gate = asyncio.Event()
    script = [events.started("m"), events.text_delta("yes"), gate, *costs(" sir")[1:]]
    async with cached(tmp_path, script) as (served, backend):
        first = asyncio.create_task(ask(served, rpc=rpc))
        await until(lambda: followers(served) == 1)
        others = [asyncio.create_task(ask(served, rpc=rpc)) for _ in range(3)]
        await until(lambda: followers(served) == 4)
        for leaving in (first, others.pop()):
            leaving.cancel()
            await asyncio.wait([leaving])
        await until(lambda: followers(served) == 2)
        assert backend.open == 1
        gate.set()
        replies = [await each for each in others]
        assert served.idle
        assert status(await ask(served)) == "HIT"
    assert {text(each) for each in replies} == {"yes sir"}
    assert sorted(each.usage.cost_micros for each in replies) == [0, 77], "the next in line pays"
    assert len(backend.asked) == 1


@RPCS
async def test_the_last_to_leave_cancels_the_call(tmp_path, rpc):
    script = [events.started("m"), events.text_delta("well"), WAIT]
    async with cached(tmp_path, script, says("new")) as (served, backend):
        calls = [asyncio.create_task(ask(served, rpc=rpc)) for _ in range(3)]
        await until(lambda: followers(served) == 3 and backend.open == 1)
        for number, each in enumerate(calls):
            assert backend.open == 1, number
            each.cancel()
            await asyncio.wait([each])
            await until(lambda left=2 - number: followers(served) == left)
        await until(lambda: backend.open == 0)
        assert served.idle
        assert text(await ask(served)) == "new", "nobody joins a call that was cancelled"


async def test_each_has_its_own_deadline(tmp_path):
    gate = asyncio.Event()
    script = [events.started("m"), gate, *says("yes")[1:]]
    async with cached(tmp_path, script) as (served, backend):
        request = asks(model="chat", cache=USE)
        short = asyncio.create_task(served.client.fault(request, seconds=2))
        await until(lambda: followers(served) == 1)
        long = asyncio.create_task(ask(served))
        await until(lambda: followers(served) == 2)
        assert (await short).code == "DEADLINE_EXCEEDED"
        await until(lambda: followers(served) == 1)
        gate.set()
        assert text(await long) == "yes"
    assert len(backend.asked) == 1


async def test_a_refresh_does_not_join_and_others_join_it(tmp_path):
    gate = asyncio.Event()
    old, new = [events.started("m"), gate, *says("old")[1:]], [events.started("m"), gate, *says("new")[1:]]
    async with cached(tmp_path, old, new) as (served, backend):
        first = asyncio.create_task(ask(served))
        await until(lambda: len(backend.asked) == 1)
        refresh = asyncio.create_task(ask(served, asks(model="chat", cache=REFRESH)))
        await until(lambda: len(backend.asked) == 2)
        third = asyncio.create_task(ask(served))
        await until(lambda: followers(served) == 2)
        gate.set()
        assert [text(await each) for each in (first, refresh, third)] == ["old", "new", "new"]


async def test_an_urgent_request_does_not_wait_for_one_that_is_not(tmp_path):
    gate = asyncio.Event()
    waits = [events.started("m"), gate, *says("yes")[1:]]
    async with cached(tmp_path, waits) as (served, backend):
        slow = asks(model="chat", cache=USE, priority=Priority.PRIORITY_BATCH)
        urgent = asks(model="chat", cache=USE, priority=Priority.PRIORITY_INTERACTIVE)
        calls = [asyncio.create_task(ask(served, slow))]
        await until(lambda: len(backend.asked) == 1)
        calls.append(asyncio.create_task(ask(served, urgent)))
        await until(lambda: len(backend.asked) == 2)
        calls.append(asyncio.create_task(ask(served, slow)))
        await until(lambda: followers(served) == 2)
        gate.set()
        assert {text(await each) for each in calls} == {"yes"}
    assert len(backend.asked) == 2


async def test_bypassing_requests_share_nothing(tmp_path):
    gate = asyncio.Event()
    async with cached(tmp_path, [events.started("m"), gate, *says("yes")[1:]]) as (served, backend):
        calls = [asyncio.create_task(ask(served, asks(model="chat", cache=BYPASS))) for _ in range(3)]
        await until(lambda: len(backend.asked) == 3)
        gate.set()
        assert {status(await each) for each in calls} == {"BYPASS"}


async def test_hooks_run_for_each_caller(tmp_path):
    """A limit counts requests; what was not spent is not billed."""
    async with cached(tmp_path) as (served, backend):
        gated = []
        lifecycle = served.application._components.gateway_servicer._generation._lifecycle

        class Hooks:
            def gates(self, point):
                return True

            async def gate(self, subject):
                gated.append(subject)

            def observes(self, point):
                return True

            def observe(self, subject):
                gated.append(subject)

        lifecycle._hooks = Hooks()
        for _ in range(3):
            await ask(served)
    assert [each.point for each in gated] == ["before_generate", "generation_done"] * 3
    facts = [dict(each.facts) for each in gated if each.point == "generation_done"]
    assert [each["cache_status"] for each in facts] == ["MISS", "HIT", "HIT"]
    assert [each["output_tokens"] > 0 for each in facts] == [True, False, False]
    assert {each["outcome"] for each in facts} == {"STOP"}
    assert len(backend.asked) == 1


@RPCS
async def test_what_the_backend_refuses_is_refused_for_all(tmp_path, rpc):
    """Errors keep their details: each caller gets the violations."""
    gate = asyncio.Event()
    script = [events.started("m"), gate, InvalidRequest.of("sampling.top_k", "is not supported.")]
    async with cached(tmp_path, script) as (served, backend):
        request = asks(model="chat", cache=USE, strict=True)
        calls = [asyncio.create_task(served.client.fault(request, rpc)) for _ in range(3)]
        await until(lambda: followers(served) == 3)
        gate.set()
        faults = [await each for each in calls]
        assert served.idle
    assert [[each.field for each in fault.violations] for fault in faults] == [["sampling.top_k"]] * 3
    assert len(backend.asked) == 1


@pytest.mark.parametrize("round_", range(16))
async def test_callers_that_come_and_go_leave_nothing_behind(tmp_path, round_):
    """Whenever they leave, the slot is freed, the call ends, and usage is counted at most once."""
    draw = random.Random(round_)
    script = [events.started("m"), *map(events.text_delta, "abcdef"), events.usage(REPORTED), says("x")[-1]]
    provider = PacedProvider(draw, script)
    async with cached(tmp_path) as (served, _):
        served.application._components.backends["a"].provider = provider

        async def call() -> int:
            await asyncio.sleep(draw.random() / 50)
            task = asyncio.create_task(ask(served, rpc=draw.choice(("stream", "generate"))))
            if draw.random() < 0.6:
                await asyncio.sleep(draw.random() / 20)
                task.cancel()
            await asyncio.wait([task])
            return 0 if task.cancelled() else task.result().usage.cost_micros

        costs_ = await asyncio.gather(*(call() for _ in range(20)))
        await until(lambda: served.idle and provider.open == 0 and not replies_of(served)._flights)
        await until(lambda: not _flight_tasks())
    assert sum(costs_) <= 77 * len(provider.asked)


async def test_whoever_leaves_at_whatever_step_the_others_get_their_reply(tmp_path):
    """Also while a Redis that says nothing is being asked."""

    async def follow(request) -> int:
        sent = []

        async def send(event):
            sent.append(event)

        await generation.stream(request, send)
        return len(sent)

    with silent_server() as url:
        async with cached(tmp_path, costs(*"abc"), cache={"redis": url}) as (served, backend):
            generation = served.application._components.gateway_servicer._generation
            for step in range(40):
                for leaving in ((0,), (1,), (0, 1), (0, 1, 2)):
                    request = asks(f"{step} {leaving}", model="chat", cache=USE)
                    calls = [asyncio.create_task(follow(request)) for _ in range(3)]
                    for _ in range(step):
                        await asyncio.sleep(0)
                    for each in leaving:
                        calls[each].cancel()
                    await asyncio.wait(calls)
                    staying = [each.result() for each in calls if not each.cancelled()]
                    assert len(staying) >= 3 - len(leaving)
                    assert set(staying) <= {6}
                    await until(lambda: served.idle and not backend.open and not replies_of(served)._flights)


async def test_a_reader_that_stops_reading_can_be_cancelled(tmp_path):
    big = "x" * 200_000
    script = [events.started("m"), *(events.text_delta(big) for _ in range(100)), WAIT]
    async with cached(tmp_path, script) as (served, backend):
        stream = served.client.stream(asks(model="chat", cache=USE))
        await anext(aiter(stream))
        await until(backend.waiting.is_set)
        stream.cancel()
        await until(lambda: served.idle and backend.open == 0)


class PacedProvider(FakeProvider):
    """Plays its script with pauses."""

    def __init__(self, draw, script) -> None:
        super().__init__(script)
        self._draw = draw

    async def stream(self, request, model):
        async with aclosing(super().stream(request, model)) as reply:
            async for event in reply:
                await asyncio.sleep(self._draw.random() / 200)
                yield event


def _flight_tasks() -> list[asyncio.Task]:
    return [each for each in asyncio.all_tasks() if "Flight._run" in repr(each.get_coro())]
