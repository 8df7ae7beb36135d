"""A second target is asked beside a slow one; whoever begins first answers, and the other is left at once."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import aclosing

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendAuth, RateLimited, RequestRefused
from clawdbot_model_gateway.core.failures.failure_policy import FailurePolicy, HedgeRule
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.spending import note_usage
from clawdbot_model_gateway.core.tokens.token_estimate import estimate_usage

from tests.support.conditions import until
from tests.support.fake_openai import HANG, HOLD, KEY, Answer, chunk, error, sse, text_chunks
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, check_grammar, collect, text_of
from tests.support.scripted_provider import WAIT, Bench, FakeProvider, says

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
ALIASES = {"default": ["a/m", {"target": "b/m", "fallback": True}]}
TARGETS = {"default": (Target("a", "m"), Target("b", "m", fallback=True))}


def hedged(a, b, **options):
    options = {"hedge": {"after": 0.1}, **options}
    backends = {
        "a": compatible(a.url, api_key=KEY, models=["m"], **options),
        "b": compatible(b.url, api_key=KEY, models=["m"]),
    }
    return {"backends": backends, "aliases": ALIASES}


def backend_of(reply) -> str:
    return reply[0].started.backend if isinstance(reply, list) else reply.backend


def hedges_of(served) -> float:
    return served.metric("clawdbot_backend_hedges_total", backend="a")


@pytest.mark.parametrize("mode", [CachePolicy.MODE_BYPASS, CachePolicy.MODE_USE], ids=["own", "shared"])
@RPCS
async def test_a_slow_backend_is_overtaken(tmp_path, a, b, rpc, mode):
    async with gateway(tmp_path, models=hedged(a, b)) as served:
        for _ in range(3):
            a.gone.clear()
            a.will(HOLD)
            began = time.monotonic()
            reply = await served.client.run(asks(str(began), cache=CachePolicy(mode=mode)), rpc, seconds=60)
            assert time.monotonic() - began < 30
            assert backend_of(reply) == "b"
            async with asyncio.timeout(20):
                await a.gone.wait()
            await until(lambda: served.idle)
        assert hedges_of(served) == 3


@RPCS
async def test_the_first_one_may_still_win(tmp_path, a, b, rpc):
    async with gateway(tmp_path, models=hedged(a, b)) as served:
        held = asyncio.Event()
        a.will(Answer([held, sse(*text_chunks("from a"))]))
        b.will(HOLD)
        call = asyncio.create_task(served.client.run(asks(), rpc))
        await b.busy.wait()
        held.set()
        assert backend_of(await call) == "a"
        async with asyncio.timeout(20):
            await b.gone.wait()
        await until(lambda: served.idle)


async def test_the_winner_streams_on(tmp_path, a, b):
    async with gateway(tmp_path, models=hedged(a, b)) as served:
        a.will(HOLD)
        pieces = [sse(chunk({"content": each}), done=False) for each in "abc"]
        b.will(Answer([*pieces, sse(*text_chunks("d"))]))
        seen = await served.client.run(asks(), "stream")
        check_grammar(seen)
        assert (text_of(seen), seen[0].started.attempt) == ("abcd", 2)


@RPCS
async def test_a_fast_backend_is_asked_alone(tmp_path, a, b, rpc):
    async with gateway(tmp_path, models=hedged(a, b, hedge={"after": 5})) as served:
        assert backend_of(await served.client.run(asks(), rpc)) == "a"
        a.will(error(503))
        assert backend_of(await served.client.run(asks(), rpc)) == "b"
        assert len(b.asked) == 1
        assert hedges_of(served) == 0


@RPCS
async def test_a_backend_that_rests_is_not_asked_beside_a_slow_one(tmp_path, a, b, rpc):
    models = hedged(a, b, hedge={"after": 0.02})
    models["aliases"] = {**ALIASES, "other": ["b/m"]}
    async with gateway(tmp_path, models=models) as served:
        b.will(error(429, "slow down", **{"retry-after": "40"}))
        await served.client.fault(asks(model="other"))
        a.will(Answer([0.3, sse(*text_chunks("from a"))]))
        assert backend_of(await served.client.run(asks(), rpc)) == "a"
        assert len(b.asked) == 1
        a.will(error(503))
        assert backend_of(await served.client.run(asks(), rpc)) == "b"
        assert hedges_of(served) == 0


async def test_hedges_stay_within_the_budget(tmp_path, a, b):
    options = {"hedge": {"after": 0.02, "budget": 0}, "http": {"first_content_timeout": 0.2}}
    async with gateway(tmp_path, models=hedged(a, b, **options)) as served:
        a.will(*[HOLD] * 14)
        for _ in range(14):
            assert backend_of(await served.client.run(asks(), "stream")) == "b"
        assert 10 <= hedges_of(served) < 14
        assert served.idle


async def test_a_call_that_is_cancelled_leaves_both(tmp_path, a, b):
    models = hedged(a, b, hedge={"after": 0.01, "budget": 1})
    async with gateway(tmp_path, models=models) as served:
        for number in range(64):
            a.busy.clear()
            b.busy.clear()
            a.will(HOLD)
            b.will(Answer([sse(chunk({"role": "assistant"}), done=False), HANG]))
            call = served.client.stream(asks())
            reader = asyncio.create_task(anext(aiter(call)))
            await asyncio.gather(a.busy.wait(), b.busy.wait())
            call.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await until(lambda count=number + 1: a.left == b.left == count)
            await until(lambda: served.idle)


# What it costs, and what goes wrong


def bench(a, b, after=0.02):
    each = Bench(TARGETS, a=a, b=b)
    each.backends["a"].failure = FailurePolicy(hedge=HedgeRule(after))
    return each


class SlowToLeave(FakeProvider):
    """Says nothing, and needs a while to end a request."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__([WAIT])
        self.errors = errors
        self.leaving, self.may_leave = asyncio.Event(), asyncio.Event()

    async def stream(self, request, model):
        async with aclosing(super().stream(request, model)) as silence:
            try:
                async for event in silence:
                    yield event
            finally:
                self.leaving.set()
                await self.may_leave.wait()
                for each in self.errors:
                    raise each


@pytest.mark.parametrize("errors", [(), (RateLimited("late"),)], ids=["ends", "fails"])
@pytest.mark.parametrize("won", [True, False], ids=["after the other has won", "while both are silent"])
async def test_a_call_that_is_cancelled_while_one_is_left_leaves_the_other(caplog, won, errors):
    slow, other = SlowToLeave(*errors), FakeProvider(says("from b") if won else [WAIT])
    racing = bench(slow, other)
    call = asyncio.create_task(collect(racing.stream(asks())))
    if not won:
        await other.waiting.wait()
        call.cancel()
    await slow.leaving.wait()
    call.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    slow.may_leave.set()
    await asyncio.wait([call], timeout=20)
    await until(lambda: racing.idle and not other.open and not slow.open)
    assert call.cancelled()
    del call
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert "destroyed" not in caplog.text


class CancelsItself(FakeProvider):
    """As a client whose own tasks are cancelled, once the other target is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()

    async def stream(self, request, model):
        await self.may_end.wait()
        raise asyncio.CancelledError
        yield


async def test_one_that_was_cancelled_by_itself_does_not_keep_the_other():
    cancelled, other = CancelsItself(), FakeProvider([WAIT])
    racing = bench(cancelled, other)
    call = asyncio.create_task(collect(racing.stream(asks())))
    await other.waiting.wait()
    cancelled.may_end.set()
    await asyncio.wait([call], timeout=20)
    assert call.cancelled()
    await until(lambda: racing.idle)
    assert not other.open


async def test_both_are_paid_for_once():
    reported = Usage(input_tokens=9, provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED)
    slow = FakeProvider([events.started("m"), events.usage(reported), WAIT])
    racing = bench(slow, FakeProvider(says("from b")))
    alone = Bench(TARGETS, a=FakeProvider(says("from b")), b=FakeProvider())
    assert text_of(await collect(racing.stream(asks()))) == "from b"
    await collect(alone.stream(asks()))
    assert racing.done["input_tokens"] == alone.done["input_tokens"] + 9
    assert racing.done["output_tokens"] == alone.done["output_tokens"]
    assert (racing.done["target"], racing.done["attempts"], racing.done["outcome"]) == ("b/m", 2, "STOP")
    assert len(racing.hooks.observed) == 1
    assert racing.idle


async def test_a_winner_that_is_broken_off_costs_what_its_backend_had_reported():
    class Reports(FakeProvider):
        async def stream(self, request, model):
            async for event in super().stream(request, model):
                yield event
                if event.HasField("text_delta"):
                    note_usage(Usage(input_tokens=900, output_tokens=2))

    winner = Reports([events.started("m"), *map(events.text_delta, ("a", "b")), WAIT])
    racing = bench(FakeProvider([WAIT]), winner)
    call = asyncio.create_task(collect(racing.stream(asks())))
    await winner.waiting.wait()
    call.cancel()
    await asyncio.wait([call])
    loser = estimate_usage(asks(), 0).input_tokens
    assert (racing.done["input_tokens"], racing.done["outcome"]) == (900 + loser, "CANCELLED")
    assert racing.idle


async def test_where_both_fail_the_error_names_both():
    gate = asyncio.Event()
    racing = bench(FakeProvider([gate, RateLimited("full")]), FakeProvider([BackendAuth("no")]))
    call = asyncio.create_task(collect(racing.stream(asks())))
    await until(lambda: racing.providers["b"].asked)
    gate.set()
    with pytest.raises(RateLimited) as failed:
        await call
    assert failed.value.other_attempts == " Also tried: b/m (BACKEND_AUTH)."
    assert racing.idle


async def test_a_request_that_one_refuses_is_refused_and_the_other_is_left():
    racing = bench(FakeProvider([WAIT]), FakeProvider([RequestRefused("no")]))
    with pytest.raises(RequestRefused):
        await collect(racing.stream(asks()))
    assert racing.idle


def test_the_usual_time_is_that_of_95_in_100_once_it_is_known():
    policy = FailurePolicy(hedge=HedgeRule())
    for number in range(19):
        policy.saw_first_content(number)
    assert policy.hedge_delay is None
    for number in range(19, 100):
        policy.saw_first_content(number)
    assert policy.hedge_delay == 95
    assert FailurePolicy(hedge=HedgeRule(3.0)).hedge_delay == 3.0
    assert FailurePolicy().hedge_delay is None
