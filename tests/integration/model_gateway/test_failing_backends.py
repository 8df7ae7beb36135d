"""A backend that is silent, slow or refuses: the fallback is asked in time, and retries are safe and few."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import CachePolicy
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest

from tests.support.cached_gateway import followers
from tests.support.conditions import until
from tests.support.fake_openai import (
    DROP,
    HANG,
    HOLD,
    KEY,
    Answer,
    chunk,
    error,
    fake_openai,
    sse,
    text_chunks,
)
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, check_grammar, finish_of, text_of

RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])
ALIASES = {"chat": ["a/m", {"target": "b/m", "fallback": True}]}
ROLE_ONLY = chunk({"role": "assistant"})
EMPTY = chunk({"content": ""})
COMMENT = b": still here\n\n"
PING = sse(EMPTY, done=False)
HEARTBEATS = 2000


def every(seconds, piece):
    """The same piece of a reply again and again."""

    class Beat(asyncio.Event):
        async def wait(self):
            await asyncio.sleep(seconds)
            return True

    return [each for _ in range(HEARTBEATS) for each in (Beat(), piece)]


SILENCES = {
    "no headers": HOLD,
    "headers only": Answer([HANG]),
    "a role": Answer([sse(ROLE_ONLY, done=False), HANG]),
    "empty deltas": Answer([sse(ROLE_ONLY, EMPTY, EMPTY, done=False), HANG]),
    "comments": Answer([COMMENT, *every(0.02, COMMENT)]),
    "pings": Answer([sse(ROLE_ONLY, done=False), *every(0.02, PING)]),
}


def two(a, b, **options):
    """The section `models`: the options are those of the first backend."""
    return {
        "backends": {
            "a": compatible(a.url, api_key=KEY, models=["m"], **options),
            "b": compatible(b.url, api_key=KEY, models=["m"]),
        },
        "aliases": ALIASES,
    }


def in_tenths(a, b, **options):
    """The same with ten targets: all after the first are b's. A share of a long deadline is short then."""
    models = two(a, b, **options)
    spare = [str(each) for each in range(9)]
    models["backends"]["b"]["models"] = spare
    models["aliases"] = {"chat": ["a/m", *({"target": f"b/{each}", "fallback": True} for each in spare)]}
    return models


def backend_of(reply) -> str:
    return reply[0].started.backend if isinstance(reply, list) else reply.backend


def retries_of(served, name="clawdbot_backend_retries_total") -> float:
    return served.metric(name, backend="openai_compatible")


# The share of the deadline


@pytest.mark.parametrize("silence", SILENCES)
@RPCS
async def test_a_silent_backend_leaves_time_for_the_fallback(tmp_path, a, b, rpc, silence):
    async with gateway(tmp_path, models=in_tenths(a, b)) as served:
        a.will(SILENCES[silence])
        began = time.monotonic()
        reply = await served.client.run(asks(model="chat"), rpc, seconds=10)
        assert time.monotonic() - began > 0.9, "it had its share of the deadline, which is not over yet"
        assert backend_of(reply) == "b"
        async with asyncio.timeout(20):
            await a.gone.wait()
        assert a.left == 1
        await until(lambda: served.idle)


@RPCS
async def test_each_of_several_targets_gets_a_share(tmp_path, a, b, rpc):
    async with fake_openai() as c:
        models = in_tenths(a, b)
        models["backends"]["c"] = compatible(c.url, api_key=KEY, models=["m"])
        models["aliases"]["chat"].insert(2, {"target": "c/m", "fallback": True})
        async with gateway(tmp_path, models=models) as served:
            a.will(HOLD)
            b.will(HOLD)
            reply = await served.client.run(asks(model="chat"), rpc, seconds=11)
            assert backend_of(reply) == "c"
            await until(lambda: served.idle)


async def test_the_last_target_has_all_that_is_left(tmp_path, a, b):
    async with gateway(tmp_path, models=in_tenths(a, b)) as served:
        a.will(error(503))
        held = asyncio.Event()
        b.will(*[error(503)] * 8, Answer([held, sse(*text_chunks("late"))]))
        call = asyncio.create_task(served.client.run(asks(model="chat"), "stream", seconds=12))
        await until(lambda: requests_of(b) == 9)
        await asyncio.sleep(1.8)
        held.set()
        assert text_of(await call) == "late"


async def test_a_reply_that_has_begun_has_the_whole_deadline(tmp_path, a, b):
    async with gateway(tmp_path, models=in_tenths(a, b)) as served:
        held = asyncio.Event()
        a.will(Answer([sse(chunk({"content": "Good"}), done=False), held, sse(*text_chunks(" day"))]))
        call = asyncio.create_task(served.client.run(asks(model="chat"), "stream", seconds=15))
        await asyncio.sleep(1.8)
        held.set()
        events = await call
        assert (backend_of(events), text_of(events)) == ("a", "Good day")


@pytest.mark.parametrize("cache", [CachePolicy.MODE_BYPASS, CachePolicy.MODE_USE])
@RPCS
async def test_the_wait_in_the_queue_is_part_of_the_share(tmp_path, a, b, rpc, cache):
    async with gateway(tmp_path, models=in_tenths(a, b, queue={"concurrency": 1})) as served:
        a.will(HOLD)
        first = asyncio.create_task(served.client.run(asks(model="a/m"), "stream", seconds=60))
        await a.busy.wait()
        request = asks(model="chat", cache=CachePolicy(mode=cache))
        assert backend_of(await served.client.run(request, rpc, seconds=10)) == "b"
        assert len(a.asked) == 1
        first.cancel()


def shared():
    return asks("the same", cache=CachePolicy(mode=CachePolicy.MODE_USE))


async def test_a_shared_call_waits_in_the_queue_for_as_long_as_one_of_its_followers(tmp_path, a):
    section = compatible(a.url, api_key=KEY, models=["m"], queue={"concurrency": 1})
    async with gateway(tmp_path, model=section) as served:
        (one,) = served.application._components.backends.values()
        held = asyncio.Event()
        a.will(Answer([held, sse(*text_chunks("first"))]))
        first = asyncio.create_task(served.client.run(asks("first"), "stream"))
        await until(lambda: a.asked)
        short = asyncio.create_task(served.client.fault(shared(), "stream", seconds=2))
        await until(lambda: followers(served) == 1)
        long = asyncio.create_task(served.client.run(shared(), "stream"))
        assert (await short).code in {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
        await until(lambda: followers(served) == 1)
        assert one.scheduler.waiting == 1
        held.set()
        assert text_of(await long) == "Good evening."
        await first
        assert requests_of(a) == 2
        assert served.idle


async def test_a_shared_call_that_cannot_have_its_turn_in_time_is_refused_at_once(tmp_path, a):
    section = compatible(a.url, api_key=KEY, models=["m"], queue={"concurrency": 1})
    async with gateway(tmp_path, model=section) as served:
        served.remember_slow_requests("openai_compatible", 60)
        a.will(HOLD)
        busy = asyncio.create_task(served.client.run(asks("busy"), "stream", seconds=120))
        await until(lambda: requests_of(a) == 1)
        # Half a minute is left of it, as far as anybody knows.
        async with asyncio.timeout(15):
            fault = await served.client.fault(shared(), "stream", seconds=20)
        assert (fault.code, fault.reason) == ("RESOURCE_EXHAUSTED", "DEADLINE_UNREACHABLE")
        busy.cancel()


async def test_a_silent_backend_leaves_time_for_the_fallback_of_an_embedding(tmp_path, a, b):
    async with gateway(tmp_path, models=in_tenths(a, b)) as served:
        a.will(HOLD)
        reply = await served.client.gateway.Embed(EmbedRequest(texts=["x"], model="chat"), timeout=10)
        assert reply.backend == "b"
        await until(lambda: served.idle)


# The time to the first content


@pytest.mark.parametrize("silence", SILENCES)
@RPCS
async def test_the_first_content_has_a_time_of_its_own(tmp_path, a, b, rpc, silence):
    models = two(a, b, http={"first_content_timeout": 0.3})
    async with gateway(tmp_path, models=models) as served:
        a.will(SILENCES[silence])
        began = time.monotonic()
        assert backend_of(await served.client.run(asks(model="chat"), rpc, seconds=60)) == "b"
        assert time.monotonic() - began < 30
        a.will(SILENCES[silence])
        fault = await served.client.fault(asks(model="a/m"), rpc, seconds=60)
        assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_TIMEOUT")
        assert "0.3 s" in fault.message
        assert served.idle


@RPCS
async def test_a_long_reply_that_has_begun_is_not_late(tmp_path, a, rpc):
    section = compatible(a.url, api_key=KEY, http={"first_content_timeout": 1.5})
    async with gateway(tmp_path, model=section) as served:
        pieces = every(0.05, sse(chunk({"content": "x"}), done=False))[:40]
        a.will(Answer([sse(chunk({"content": "x"}), done=False), *pieces, sse(*text_chunks("end"))]))
        reply = await served.client.run(asks(), rpc)
        text = text_of(reply) if rpc == "stream" else reply.message.parts[0].text
        assert text == "x" * 21 + "end"


# Silence between deltas

QUIET = {
    "silence": [HANG],
    "comments": every(0.05, COMMENT),
    "empty deltas": every(0.05, PING),
}


@pytest.mark.parametrize("quiet", QUIET)
async def test_a_stream_that_falls_silent_ends_as_truncated(tmp_path, a, b, quiet):
    async with gateway(tmp_path, models=two(a, b, http={"idle_timeout": 1.2})) as served:
        a.will(Answer([sse(chunk({"content": "Good"}), done=False), *QUIET[quiet]]))
        began = time.monotonic()
        events = await served.client.run(asks(model="chat"), "stream", seconds=60)
        assert 1 < time.monotonic() - began < 30
        check_grammar(events)
        assert (text_of(events), finish_of(events)) == ("Good", "truncated")
        assert events[-1].finished.truncated
        assert events[-2].usage.output_tokens > 0
        assert b.asked == []
        async with asyncio.timeout(20):
            await a.gone.wait()
        await until(lambda: served.idle)


@RPCS
async def test_silence_before_anything_was_shown_fails_over(tmp_path, a, b, rpc):
    # A whole reply is awaited for its share of the deadline, which is not to be what ends the stream.
    seconds = 600 if rpc == "stream" else 10
    models = in_tenths(a, b, http={"idle_timeout": 0.2, "read_timeout": 60})
    async with gateway(tmp_path, models=models) as served:
        a.will(Answer([sse(ROLE_ONLY, done=False), HANG]))
        assert backend_of(await served.client.run(asks(model="chat"), rpc, seconds=seconds)) == "b"
        assert served.idle


async def test_a_finish_reason_and_then_only_signs_of_life_is_a_whole_reply(tmp_path, a):
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, http={"idle_timeout": 1.2})) as served:
        a.will(Answer([sse(*text_chunks("Yes."), done=False), *every(0.05, COMMENT)]))
        events = await served.client.run(asks(), "stream")
        assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


async def test_a_shared_call_that_falls_silent_ends_as_truncated_for_all(tmp_path, a):
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, http={"idle_timeout": 1.2})) as served:
        a.will(Answer([sse(chunk({"content": "Good"}), done=False), HANG]))
        request = asks(cache=CachePolicy(mode=CachePolicy.MODE_USE))
        calls = [asyncio.create_task(served.client.run(request, "stream")) for _ in range(2)]
        assert {finish_of(await each) for each in calls} == {"truncated"}
        assert len([each for each in a.asked if each.body]) == 1
        assert finish_of(await served.client.run(request, "stream")) == "stop", "it is not stored"


# Retries

RETRY = {"attempts": 2, "base": 0.01, "max": 0.05}
REFUSALS = [error(429, "slow down"), error(503, "overloaded"), error(529, "overloaded")]


def requests_of(fake) -> int:
    return len([each for each in fake.asked if each.body])


@pytest.mark.parametrize("refusal", REFUSALS)
@RPCS
async def test_what_the_backend_refused_is_sent_again(tmp_path, a, rpc, refusal):
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, retry=RETRY)) as served:
        a.will(refusal, refusal)
        await served.client.run(asks(), rpc)
        assert requests_of(a) == 3
        assert retries_of(served) == 2
        a.will(*[refusal] * 3)
        fault = await served.client.fault(asks(), rpc)
        assert fault.reason in {"BACKEND_RATE_LIMITED", "BACKEND_OVERLOADED"}
        assert requests_of(a) == 6
        assert served.idle


@pytest.mark.parametrize(
    "broken", [DROP, error(401), error(400, "bad"), error(429, "x", "insufficient_quota")]
)
@RPCS
async def test_what_may_have_been_worked_on_or_cannot_succeed_is_not_sent_again(tmp_path, a, rpc, broken):
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, retry=RETRY)) as served:
        a.will(broken)
        await served.client.fault(asks(), rpc)
        assert requests_of(a) == 1


@RPCS
async def test_a_silent_backend_is_not_asked_again(tmp_path, a, rpc):
    section = compatible(a.url, api_key=KEY, retry=RETRY, http={"first_content_timeout": 0.1})
    async with gateway(tmp_path, model=section) as served:
        a.will(HOLD)
        assert (await served.client.fault(asks(), rpc)).reason == "BACKEND_TIMEOUT"
        assert requests_of(a) == 1


@RPCS
async def test_other_targets_are_asked_before_a_retry(tmp_path, a, b, rpc):
    async with gateway(tmp_path, models=two(a, b, retry=RETRY)) as served:
        a.will(error(429, "slow down"))
        assert backend_of(await served.client.run(asks(model="chat"), rpc)) == "b"
        a.will(error(429, "slow down"))
        b.will(error(401))
        reply = await served.client.run(asks(model="chat"), rpc)
        assert backend_of(reply) == "a"
        assert (requests_of(a), requests_of(b)) == (3, 2)


async def test_the_backends_own_wait_is_kept(tmp_path, a):
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, retry=RETRY)) as served:
        a.will(error(429, "slow down", **{"Retry-After": "1"}))
        began = time.monotonic()
        await served.client.run(asks(), "stream")
        assert time.monotonic() - began >= 1
        a.will(error(429, "slow down", **{"Retry-After": "30"}))
        began = time.monotonic()
        fault = await served.client.fault(asks(), "stream", seconds=20)
        assert (fault.reason, fault.retry_after) == ("BACKEND_RATE_LIMITED", 30)
        assert time.monotonic() - began < 15, "it does not fit the deadline, so nobody waits"


async def test_a_call_that_waits_for_a_retry_can_be_cancelled(tmp_path, a):
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, retry=RETRY)) as served:
        a.will(error(429, "slow down", **{"Retry-After": "15"}))
        call = asyncio.create_task(served.client.run(asks(), "stream"))
        # It has no slot while it waits for the retry.
        await until(lambda: requests_of(a) and served.idle)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert served.idle
        assert requests_of(a) == 1


async def test_retries_stay_within_the_budget(tmp_path, a):
    retry = {**RETRY, "budget": 0.1}
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, retry=retry)) as served:
        a.will(*[error(429, "slow down")] * 1000)
        for _ in range(40):
            await served.client.fault(asks())
        # 10 that were saved up, 4 for the 40 requests, and one in ten seconds.
        assert 50 <= requests_of(a) <= 60
        assert retries_of(served, "clawdbot_backend_retries_over_budget_total") >= 1


@RPCS
@pytest.mark.parametrize("words", ["We are overloaded. ", "Busy!", "…", "Come back later", "稍后重试。"])
async def test_what_a_backend_says_and_the_advice_are_two_sentences(tmp_path, a, rpc, words):
    a.always = error(503, words)
    async with gateway(tmp_path, model=compatible(a.url, api_key=KEY, models=["m"])) as served:
        message = (await served.client.fault(asks(), rpc)).message
    assert words.strip() in message
    assert not re.search(r"[.!…。]\s*\.|\s\.", message.replace("…", "")), message
    assert re.search(r"[.!…。] [A-Z]\w+", message), message
