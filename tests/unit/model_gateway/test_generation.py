"""A request goes to the first backend that answers; what is held, reported and counted on the way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendUnreachable,
    ContextTooLong,
    ModelError,
    ModelMissing,
    ProtocolViolation,
    RateLimited,
    RequestRefused,
    UnknownModel,
)
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_servicekit import deadline
from clawdbot_servicekit.errors import DeadlineExpired, InvalidRequest

from tests.support.conditions import until
from tests.support.generate_requests import asks, check_grammar, collect, finish_of, text_of
from tests.support.scripted_provider import WAIT, Bench, FakeProvider, says

CHAIN = {"default": (Target("a", "m"), Target("b", "m", fallback=True))}
RPCS = pytest.mark.parametrize("rpc", ["stream", "generate"])


async def answer(bench, request=None, rpc="stream"):
    request = request or asks()
    if rpc == "generate":
        return await bench.generation.generate(request)
    seen = await collect(bench.stream(request))
    check_grammar(seen)
    return accumulate(seen)


def text_of_reply(reply):
    return "".join(part.text for part in reply.message.parts)


def broken(*script):
    return FakeProvider([events.started("m"), *script])


@RPCS
async def test_a_reply_names_its_backend_and_model(rpc):
    bench = Bench({"default": (Target("a", "m"),)}, a=FakeProvider(says("yes", " sir")))
    reply = await answer(bench, rpc=rpc)
    assert (reply.message.parts[0].text, reply.backend, reply.model) == ("yes sir", "a", "m")
    assert bench.idle


async def test_a_whole_reply_is_the_accumulated_stream():
    bench = Bench(CHAIN, a=FakeProvider(says("yes", " sir")), b=FakeProvider())
    assert await answer(bench, rpc="generate") == await answer(bench, rpc="stream")


@RPCS
@pytest.mark.parametrize(
    "error",
    [RateLimited("x"), BackendAuth("x"), BackendUnreachable("x"), ModelMissing("x"), ContextTooLong("x")],
)
async def test_an_error_before_any_content_moves_on_to_the_next_target(rpc, error):
    bench = Bench(CHAIN, a=broken(error), b=FakeProvider(says("from b")))
    reply = await answer(bench, rpc=rpc)
    assert (reply.message.parts[0].text, reply.backend) == ("from b", "b")
    assert bench.done["attempts"] == 2
    assert bench.idle


async def test_a_stream_reports_its_attempt_and_starts_once():
    bench = Bench(CHAIN, a=broken(RateLimited("x")), b=FakeProvider(says("from b")))
    seen = await collect(bench.stream(asks()))
    check_grammar(seen)
    assert (seen[0].started.backend, seen[0].started.attempt) == ("b", 2)


REPORTED = Usage(input_tokens=9, provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED)


@pytest.mark.parametrize(
    "before",
    [
        [events.usage(REPORTED)],
        [events.text_delta("")],
        [events.reasoning_delta("")],
        [events.usage(REPORTED), events.text_delta("")],
    ],
)
async def test_what_is_not_content_does_not_commit_to_a_backend(before):
    """Some backends report usage, or send empty deltas, and then fail."""
    bench = Bench(CHAIN, a=broken(*before, RateLimited("x")), b=FakeProvider(says("from b")))
    seen = await collect(bench.stream(asks()))
    check_grammar(seen)
    assert (text_of(seen), seen[0].started.attempt) == ("from b", 2)


@pytest.mark.parametrize(
    "content",
    [
        events.text_delta("a"),
        events.reasoning_delta("a"),
        events.reasoning_delta("", signature=b"s"),
        events.reasoning_delta("", redacted=True),
        events.tool_call_started(0, "c", "t"),
    ],
)
async def test_the_first_content_commits_to_its_backend(content):
    bench = Bench(CHAIN, a=broken(content, RateLimited("x")), b=FakeProvider(says("from b")))
    with pytest.raises(RateLimited):
        await collect(bench.stream(asks()))
    assert bench.providers["b"].asked == []


async def test_what_a_failed_attempt_reported_is_part_of_the_cost():
    bench = Bench(CHAIN, a=broken(events.usage(REPORTED), RateLimited("x")), b=FakeProvider(says("from b")))
    alone = Bench(CHAIN, a=FakeProvider(says("from b")), b=FakeProvider())
    await answer(bench)
    await answer(alone)
    assert bench.done["input_tokens"] == alone.done["input_tokens"] + 9


@RPCS
async def test_a_target_may_be_tried_more_than_once(rpc):
    twice = {"default": (Target("a", "m", fallback=True), Target("a", "m", fallback=True))}
    bench = Bench(twice, a=FakeProvider([events.started("m"), RateLimited("x")], says("now")))
    assert text_of_reply(await answer(bench, rpc=rpc)) == "now"
    assert bench.done["attempts"] == 2


@RPCS
async def test_a_refused_request_is_not_tried_elsewhere(rpc):
    bench = Bench(CHAIN, a=broken(RequestRefused("x")), b=FakeProvider())
    with pytest.raises(RequestRefused):
        await answer(bench, rpc=rpc)
    assert bench.providers["b"].asked == []
    assert bench.idle


async def test_an_error_after_content_ends_the_stream():
    bench = Bench(CHAIN, a=broken(events.text_delta("well"), BackendFailed("x")), b=FakeProvider())
    seen = []
    with pytest.raises(BackendFailed):  # noqa: PT012 - what comes before is what counts
        async for event in bench.stream(asks()):
            seen.append(event)  # noqa: PERF401 - a comprehension would lose it
    assert text_of(seen) == "well"
    assert bench.providers["b"].asked == []
    assert (bench.done["outcome"], bench.done["output_tokens"]) == ("BACKEND_FAILED", 1)
    assert bench.idle


@RPCS
async def test_when_all_targets_fail_a_transient_error_is_raised_and_names_the_others(rpc):
    bench = Bench(CHAIN, a=broken(RateLimited("full", retry_after=9)), b=broken(BackendAuth("no key")))
    with pytest.raises(RateLimited) as failed:
        await answer(bench, rpc=rpc)
    assert failed.value.target == "a/m"
    assert failed.value.retry_after == 9
    assert failed.value.other_attempts == " Also tried: b/m (BACKEND_AUTH)."


async def test_a_stream_without_content_is_an_error():
    bench = Bench(CHAIN, a=FakeProvider([events.started("m")]), b=FakeProvider(says("from b")))
    assert (await answer(bench)).backend == "b"
    bench = Bench({"default": (Target("a", "m"),)}, a=FakeProvider([events.started("m")]))
    with pytest.raises(ProtocolViolation):
        await answer(bench)


async def test_no_second_attempt_is_made_without_time_for_it():
    bench = Bench(CHAIN, a=broken(RateLimited("x")), b=FakeProvider())
    deadline.enter_deadline(0.01)
    try:
        with pytest.raises(DeadlineExpired):
            await answer(bench)
    finally:
        deadline.enter_deadline(None)
    assert bench.providers["b"].asked == []


# Cancellation


@pytest.mark.parametrize(
    "script", [[WAIT], [events.started("m"), WAIT], [events.started("m"), events.text_delta("a"), WAIT]]
)
@RPCS
async def test_a_cancelled_request_frees_its_slot_once(script, rpc):
    bench = Bench(CHAIN, a=FakeProvider(script), b=FakeProvider())
    task = asyncio.create_task(answer(bench, rpc=rpc))
    await bench.providers["a"].waiting.wait()
    assert bench.backends["a"].in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.idle
    assert bench.done["outcome"] == "CANCELLED"
    assert len(bench.hooks.observed) == 1


async def test_a_stream_that_is_closed_early_frees_its_slot_once():
    bench = Bench(
        CHAIN, a=FakeProvider([events.started("m"), events.text_delta("a"), WAIT]), b=FakeProvider()
    )
    async with aclosing(bench.stream(asks())) as stream:
        async for event in stream:
            if event.WhichOneof("event") == "text_delta":
                break
    assert bench.idle
    assert len(bench.hooks.observed) == 1


async def test_a_reply_that_nobody_takes_any_more_is_broken_off_and_costs_what_was_sent():
    bench = Bench(CHAIN, a=FakeProvider(says("one", "two", "three")), b=FakeProvider())
    sent = []

    async def send(event):
        if len(sent) == 2:
            raise ConnectionError("the stream is closed")
        sent.append(event)

    with pytest.raises(ConnectionError):
        await bench.generation.stream(asks(), send)
    assert text_of(sent) == "one"
    assert (bench.done["outcome"], bench.done["attempts"]) == ("CANCELLED", 1)
    assert bench.done["output_tokens"] > 0
    assert bench.providers["b"].asked == []
    assert bench.idle


# Slots


@RPCS
async def test_requests_beyond_a_backends_concurrency_wait_for_a_slot(rpc):
    bench = Bench(CHAIN, a=FakeProvider([WAIT], says("yes")), b=FakeProvider(), concurrency=1)
    first = asyncio.create_task(answer(bench, rpc=rpc))
    await bench.providers["a"].waiting.wait()
    second = asyncio.create_task(answer(bench, rpc=rpc))
    await until(lambda: bench.backends["a"].in_flight == 2)
    assert bench.providers["a"].asked == ["m"]
    first.cancel()
    assert text_of_reply(await second) == "yes"
    assert bench.idle


async def test_a_request_that_is_cancelled_while_it_waits_takes_no_slot():
    bench = Bench(CHAIN, a=FakeProvider([WAIT], says("yes")), b=FakeProvider(), concurrency=1)
    first = asyncio.create_task(answer(bench))
    await bench.providers["a"].waiting.wait()
    waiting = [asyncio.create_task(answer(bench)) for _ in range(3)]
    await until(lambda: bench.backends["a"].in_flight == 4)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert bench.backends["a"].in_flight == 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert bench.idle
    assert text_of_reply(await answer(bench)) == "yes"


# Hooks


@RPCS
async def test_the_gate_runs_before_anything_is_sent(rpc):
    bench = Bench(CHAIN, a=FakeProvider(), b=FakeProvider())
    bench.hooks.refusal = RuntimeError("no")
    request = asks(model="default", metadata={"session_id": "s-1", "flow": "chat", "other": "x"})
    with pytest.raises(RuntimeError):
        await answer(bench, request, rpc)
    (subject,) = bench.hooks.gated
    assert (subject.point, subject.model, subject.session_id) == ("before_generate", "default", "s-1")
    assert subject.flow == "chat"
    assert bench.providers["a"].asked == []
    assert bench.hooks.observed == []


@RPCS
async def test_observers_receive_the_outcome(rpc):
    usage = Usage(input_tokens=7, output_tokens=3, provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED)
    script = [events.started("m"), events.text_delta("yes"), events.usage(usage), events.finished(1, "stop")]
    bench = Bench(CHAIN, a=FakeProvider(script), b=FakeProvider())
    await answer(bench, rpc=rpc)
    (subject,) = bench.hooks.observed
    assert (subject.point, subject.model) == ("generation_done", "default")
    facts = bench.done
    assert facts.pop("seconds") >= 0
    assert facts == {"target": "a/m", "attempts": 1, "outcome": "STOP", "input_tokens": 7, "output_tokens": 3}


@RPCS
async def test_usage_is_estimated_where_the_backend_does_not_report_it(rpc):
    bench = Bench(CHAIN, a=FakeProvider(says("word " * 20)), b=FakeProvider())
    usage = (await answer(bench, rpc=rpc)).usage
    assert usage.provenance == UsageProvenance.USAGE_PROVENANCE_ESTIMATED
    assert 15 <= usage.output_tokens <= 35
    assert usage.input_tokens > 0


# Names


@RPCS
async def test_an_unknown_name_is_refused_before_the_gate(rpc):
    bench = Bench(CHAIN, a=FakeProvider(), b=FakeProvider())
    with pytest.raises(UnknownModel) as unknown:
        await answer(bench, asks(model="defautl"), rpc)
    assert unknown.value.suggestion == " Did you mean default?"
    assert bench.hooks.gated == []


@RPCS
async def test_a_bad_request_is_refused_first(rpc):
    bench = Bench(CHAIN, a=FakeProvider(), b=FakeProvider())
    with pytest.raises(InvalidRequest):
        await answer(bench, asks("", model="nobody"), rpc)


@RPCS
async def test_any_model_is_the_first_that_the_backend_lists_and_is_looked_up_once(rpc):
    bench = Bench({"default": (Target("a", "*"),)}, a=FakeProvider(models=["first", "second"]))
    for _ in range(3):
        await answer(bench, rpc=rpc)
    assert bench.providers["a"].asked == ["first"] * 3
    assert bench.providers["a"].listed == 1


async def test_a_backend_that_does_not_list_its_models_counts_as_a_failed_attempt():
    bench = Bench(
        {"default": (Target("a", "*"), Target("b", "m", fallback=True))},
        a=FakeProvider(models=BackendUnreachable("away")),
        b=FakeProvider(says("from b")),
    )
    assert (await answer(bench)).backend == "b"
    empty = Bench({"default": (Target("a", "*"),)}, a=FakeProvider(models=[]))
    with pytest.raises(ModelMissing):
        await answer(empty)
    assert empty.idle


@pytest.mark.parametrize("kind", ModelError.__subclasses__())
def test_each_error_gives_advice(kind):
    assert kind.advice.endswith(".")
    assert kind.reason.isupper()


async def test_weights_share_the_requests_and_fallbacks_get_none():
    draws = iter([0.1, 0.9, 0.9, 0.1])
    aliases = {"default": (Target("a", "m"), Target("b", "m"), Target("c", "m", fallback=True))}
    bench = Bench(aliases, lambda: next(draws), a=FakeProvider(), b=FakeProvider(), c=FakeProvider())
    assert [(await answer(bench)).backend for _ in range(2)] == ["a", "b"]
    assert finish_of(await collect(Bench(CHAIN, a=FakeProvider(), b=FakeProvider()).stream(asks()))) == "stop"
