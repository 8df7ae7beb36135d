"""What requests with an emulated response format cost, however they end."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed, ResponseFormatMissed

from tests.support.generate_requests import asks, tool
from tests.support.scripted_provider import WAIT, FakeProvider
from tests.support.structured_output import (
    BAD,
    GOOD,
    REPORTED,
    RPCS,
    answer,
    bench_of,
    call_reply,
    schema_format,
    text_reply,
)

COST = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)


async def test_a_tool_call_in_the_retry_is_passed_on_and_both_replies_are_counted():
    reply = call_reply("{}", name="t")
    bench, _ = bench_of(text_reply(BAD, usage=COST), [*reply[:-1], events.usage(COST), reply[-1]])
    reply = await answer(bench, asks(response_format=schema_format(), tools=[tool("t")]))
    assert reply.message.parts[0].tool_call.name == "t"
    assert reply.usage.output_tokens == bench.done["output_tokens"] == 10


@RPCS
async def test_an_invalid_answer_is_retried_once_with_its_errors(rpc):
    bench, provider = bench_of(text_reply(BAD, usage=COST), text_reply(GOOD, usage=COST))
    reply = await answer(bench, rpc=rpc)
    assert reply.message.parts[0].text == GOOD
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (20, 10)
    assert reply.usage.provenance == REPORTED
    retried = provider.requests[1].messages
    assert retried[-2].parts[0].text == BAD
    assert "age" in retried[-1].parts[0].text


@RPCS
async def test_two_invalid_answers_are_an_error_and_both_are_counted(rpc):
    bench, provider = bench_of(text_reply(BAD, usage=COST))
    with pytest.raises(ResponseFormatMissed, match="age"):
        await answer(bench, rpc=rpc)
    assert len(provider.requests) == 2
    assert (bench.done["outcome"], bench.done["output_tokens"]) == ("RESPONSE_FORMAT_MISSED", 10)
    assert bench.idle


@RPCS
async def test_an_error_in_the_retry_is_raised_and_the_first_reply_is_counted(rpc):
    bench, _ = bench_of(text_reply(BAD, usage=COST), [events.started("m"), BackendFailed("gone")])
    with pytest.raises(BackendFailed):
        await answer(bench, rpc=rpc)
    assert (bench.done["input_tokens"], bench.done["output_tokens"]) == (10, 5)


@RPCS
async def test_observers_also_get_the_cost_of_a_target_that_failed(rpc):
    bench, _ = bench_of(
        text_reply(BAD, usage=COST),
        [events.started("m"), BackendFailed("gone")],
        b=FakeProvider(text_reply(GOOD, usage=COST)),
    )
    reply = await answer(bench, rpc=rpc)
    assert reply.usage.output_tokens == 5
    assert bench.done["output_tokens"] == 10


@RPCS
async def test_usage_that_the_backend_does_not_report_is_estimated_for_both_replies(rpc):
    bench, _ = bench_of(text_reply("I do not know. " * 20), text_reply(GOOD))
    reply = await answer(bench, rpc=rpc)
    without_retry, _ = bench_of(text_reply(GOOD))
    single = await answer(without_retry, rpc=rpc)
    assert reply.usage.provenance == UsageProvenance.USAGE_PROVENANCE_ESTIMATED
    assert reply.usage.output_tokens > single.usage.output_tokens + 40
    assert reply.usage.input_tokens > 2 * single.usage.input_tokens


@RPCS
async def test_invalid_answers_without_reported_usage_are_counted_too(rpc):
    bench, _ = bench_of(text_reply("I do not know."))
    with pytest.raises(ResponseFormatMissed):
        await answer(bench, rpc=rpc)
    assert bench.done["output_tokens"] >= 6
    assert bench.done["input_tokens"] > 0


async def test_cancelling_the_retry_ends_the_request_and_the_first_reply_is_counted():
    bench, provider = bench_of(text_reply(BAD, usage=COST), [events.started("m"), WAIT])
    task = asyncio.create_task(answer(bench))
    await provider.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.open == 0
    assert bench.idle
    assert (bench.done["outcome"], bench.done["output_tokens"]) == ("CANCELLED", 5)


async def test_tokens_that_were_generated_but_not_sent_before_a_cancellation_are_counted():
    bench, provider = bench_of([events.started("m"), events.text_delta("So many words. " * 10), WAIT])
    task = asyncio.create_task(answer(bench))
    await provider.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.done["output_tokens"] > 20
