"""What replies of a form cost that were asked for twice, however they ended."""

from __future__ import annotations

import asyncio

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.errors import BackendFailed, FormMissed

from tests.support.forming import (
    BAD,
    GOOD,
    REPORTED,
    WAYS,
    answer,
    bench,
    called,
    wanted,
    words,
)
from tests.support.generating import asks, tool
from tests.support.scripted_provider import WAIT, FakeProvider


async def test_a_call_in_the_second_round_goes_through_and_both_are_counted():
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    calls = called("{}", name="t")
    place, _ = bench(words(BAD, usage=cost), [*calls[:-1], events.used(cost), calls[-1]])
    reply = await answer(place, asks(response_format=wanted(), tools=[tool("t")]))
    assert reply.message.parts[0].tool_call.name == "t"
    assert reply.usage.output_tokens == place.done["output_tokens"] == 10


@WAYS
async def test_an_answer_that_does_not_fit_is_sent_back_once(way):
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    place, provider = bench(words(BAD, usage=cost), words(GOOD, usage=cost))
    reply = await answer(place, way=way)
    assert reply.message.parts[0].text == GOOD
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (20, 10)
    assert reply.usage.provenance == REPORTED
    again = provider.requests[1].messages
    assert again[-2].parts[0].text == BAD
    assert "age" in again[-1].parts[0].text


@WAYS
async def test_an_answer_that_fits_neither_time_is_a_failure_and_paid_for(way):
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    place, provider = bench(words(BAD, usage=cost))
    with pytest.raises(FormMissed, match="age"):
        await answer(place, way=way)
    assert len(provider.requests) == 2
    assert (place.done["outcome"], place.done["output_tokens"]) == ("RESPONSE_FORMAT_MISSED", 10)
    assert place.idle


@WAYS
async def test_a_failure_in_the_second_round_is_that_failure_and_the_first_is_paid_for(way):
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    place, _ = bench(words(BAD, usage=cost), [events.started("m"), BackendFailed("gone")])
    with pytest.raises(BackendFailed):
        await answer(place, way=way)
    assert (place.done["input_tokens"], place.done["output_tokens"]) == (10, 5)


@WAYS
async def test_what_a_failed_target_cost_is_counted_beside_the_one_that_answers(way):
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    place, _ = bench(
        words(BAD, usage=cost),
        [events.started("m"), BackendFailed("gone")],
        b=FakeProvider(words(GOOD, usage=cost)),
    )
    reply = await answer(place, way=way)
    assert reply.usage.output_tokens == 5
    assert place.done["output_tokens"] == 10


@WAYS
async def test_rounds_that_nobody_counted_are_estimated(way):
    place, _ = bench(words("I do not know. " * 20), words(GOOD))
    reply = await answer(place, way=way)
    once, _ = bench(words(GOOD))
    alone = await answer(once, way=way)
    assert reply.usage.provenance == UsageProvenance.USAGE_PROVENANCE_ESTIMATED
    assert reply.usage.output_tokens > alone.usage.output_tokens + 40
    assert reply.usage.input_tokens > 2 * alone.usage.input_tokens


@WAYS
async def test_a_form_missed_by_a_backend_that_does_not_count_costs_too(way):
    place, _ = bench(words("I do not know."))
    with pytest.raises(FormMissed):
        await answer(place, way=way)
    assert place.done["output_tokens"] >= 6
    assert place.done["input_tokens"] > 0


async def test_leaving_in_the_second_round_ends_the_request_and_the_first_is_paid_for():
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    place, provider = bench(words(BAD, usage=cost), [events.started("m"), WAIT])
    task = asyncio.create_task(answer(place))
    await provider.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.open == 0
    assert place.idle
    assert (place.done["outcome"], place.done["output_tokens"]) == ("CANCELLED", 5)


async def test_what_was_said_and_not_shown_before_leaving_is_paid_for():
    place, provider = bench([events.started("m"), events.text("So many words. " * 10), WAIT])
    task = asyncio.create_task(answer(place))
    await provider.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.done["output_tokens"] > 20
