"""The provider for OpenAI's Responses API, against a fake of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, Reasoning
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendOverloaded,
    ContextTooLong,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
)
from clawdbot_model_gateway.core.provider import Embedder, TokenCounter
from clawdbot_servicekit.errors import InvalidRequest

from tests.contract.providers.vendor_contract import VendorContract, run
from tests.support.fake_openai import CUT, HANG, KEY, Answer, error, whole
from tests.support.fake_responses import (
    MODEL,
    call,
    created,
    ended,
    event,
    fake_responses,
    item_events,
    message,
    reasoning,
    response,
    sse,
    streamed,
)
from tests.support.generate_requests import asks, collect, finish_of, text_of, tool
from tests.support.providers import make, started

BEGUN = (created(), *item_events(0, message("Good"))[:3])
EMPTY = (created(), *item_events(0, reasoning("", encrypted=None)), *item_events(1, message(""))[:2])
BUSY = {"type": "error", "code": "server_overloaded", "message": "busy", "param": None}


@pytest.fixture
async def backend():
    async with fake_responses() as fake:
        yield fake


@pytest.fixture
def unstarted(backend):
    return make(provider="openai", endpoint=backend.url, api_key=KEY)


@pytest.fixture
async def provider(unstarted):
    async for each in started(unstarted):
        yield each


class TestOpenAI(VendorContract):
    kind = "openai"

    BEHAVIOUR: ClassVar = {
        "tool": Answer([sse(*streamed(call("tables_reserve", '{"people": 4}')))]),
        "json": Answer([sse(*streamed(message('{"age": 36}')))]),
        "cut": Answer([sse(*BEGUN), CUT]),
        "cut_at_once": Answer([sse(created()), CUT]),
        "cut_after_empty_pieces": Answer([sse(*EMPTY), CUT]),
        "overloaded_after_empty_pieces": Answer([sse(*EMPTY, BUSY)]),
        "rate_limited": error(429, "slow down", "rate_limit_exceeded", **{"Retry-After": "7"}),
        "overloaded_in_the_middle": Answer([sse(*BEGUN, BUSY)]),
    }

    @pytest.fixture
    def model(self):
        return MODEL

    @pytest.fixture
    def behave(self, backend):
        def behave(name):
            backend.will(self.BEHAVIOUR[name])
            return asks()

        return behave


@pytest.mark.parametrize("value", ["many", [], {}, 5])
async def test_a_limit_in_the_options_is_the_vendors_to_judge_unless_it_is_too_small(
    provider, backend, value
):
    request = asks()
    request.provider_options.update({"max_output_tokens": value})
    await provider.generate(request, MODEL)
    assert backend.last["max_output_tokens"] == (16 if value == 5 else value)


async def test_reasoning_that_comes_twice_goes_back_once(provider, backend):
    """As in a conversation with two equal replies from a cache."""
    thought = Part(reasoning=Reasoning(text="hm", signature=b"openai:rs_1:gAAA"))
    reply = Message(role=ROLE_ASSISTANT, parts=[thought, Part(text="Hi.")])
    events = await provider.generate(asks("Hello", reply, "Hello", reply, "Bye", strict=True), MODEL)
    (warning,) = events[0].started.warnings
    assert (warning.code, warning.field) == ("REASONING_LEFT_OUT", "messages[3].parts[0].reasoning")
    assert [each.get("id") for each in backend.last["input"] if "id" in each] == ["rs_1"]


@pytest.mark.parametrize(("limit", "sent"), [(1, 16), (15, 16), (16, 16), (17, 17)])
async def test_a_limit_that_the_vendor_refuses_is_raised_with_a_warning(provider, backend, limit, sent):
    request = asks(sampling={"max_tokens": limit})
    events = await provider.generate(request, MODEL)
    assert backend.last["max_output_tokens"] == sent
    warned = [each.field for each in events[0].started.warnings]
    assert warned == ([] if limit == sent else ["sampling.max_tokens"])
    if warned:
        request.strict = True
        with pytest.raises(InvalidRequest):
            await provider.generate(request, MODEL)


@pytest.mark.parametrize("method", ["stream", "generate"])
@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"), BackendAuth),
        (error(429, "no money", "insufficient_quota"), QuotaExhausted),
        (error(400, "too long", "context_length_exceeded"), ContextTooLong),
        (error(503, "later"), BackendOverloaded),
        (Answer([b"<html><title>Sign in</title>"], 200, {}, "text/html"), ProtocolViolation),
        (whole({"id": "chatcmpl-1", "choices": []}), ProtocolViolation),
    ],
)
async def test_each_error_has_its_class_and_contains_no_key(provider, backend, answer, error_class, method):
    backend.will(answer)
    with pytest.raises(error_class) as raised:
        await run(provider, asks(), MODEL, method)
    assert KEY not in str(raised.value)


async def test_a_server_that_cannot_stream_answers_at_once(provider, backend):
    backend.will(whole(response(message("Good evening."))))
    events = await collect(provider.stream(asks(), MODEL))
    assert (text_of(events), finish_of(events)) == ("Good evening.", "stop")


async def test_a_failure_before_any_text_is_an_error_so_that_another_backend_is_tried(provider, backend):
    rate_limited = {"code": "rate_limit_exceeded", "message": "slow down"}
    backend.will(Answer([sse(created(), ended(status="failed", error=rate_limited))]))
    with pytest.raises(RateLimited):
        await collect(provider.stream(asks(), MODEL))


async def test_closing_a_stream_closes_the_vendors_connection(provider, backend):
    backend.will(Answer([sse(*BEGUN), HANG]))
    async with aclosing(provider.stream(asks(), MODEL)) as events:
        async for each in events:
            if each.HasField("text_delta"):
                break
    await asyncio.wait_for(backend.gone.wait(), 20)
    assert backend.left == 1


async def test_a_stream_ends_with_its_last_event_even_if_the_connection_stays_open(provider, backend):
    backend.will(Answer([sse(*streamed(message("Yes."))), HANG]))
    events = await asyncio.wait_for(collect(provider.stream(asks(), MODEL)), 20)
    assert finish_of(events) == "stop"


async def test_models_that_do_not_chat_are_listed_last(provider):
    assert [each.name for each in await provider.list_models()] == [MODEL, "text-embedding-fake"]


async def test_a_context_length_in_the_list_is_reported(provider, backend):
    backend.models[1]["context_window"] = 400_000
    assert [each.context_length for each in await provider.list_models()] == [400_000, 0]


async def test_tokens_are_counted_for_the_request_as_it_would_be_sent(provider, backend):
    request = asks("Good evening to you", tools=[tool("clock.now")], sampling={"max_tokens": 90})
    assert await provider.count_tokens(request, MODEL) > 0
    counted = backend.last
    await provider.generate(request, MODEL)
    assert {"input", "model", "tools"} == set(counted)
    assert counted.items() <= backend.last.items()


@pytest.mark.parametrize("body", [{}, [], {"input_tokens": "four"}, {"input_tokens": -1}])
async def test_an_invalid_count_is_a_protocol_violation(provider, backend, body):
    backend.will(whole(body))
    with pytest.raises(ProtocolViolation, match="returned no token count"):
        await provider.count_tokens(asks(), MODEL)


async def test_texts_become_vectors_in_their_order(provider):
    found = await provider.embed(["a", "bcd"], "text-embedding-fake", 2)
    assert found.vectors == [[1.0, 1.0], [3.0, 3.0]]
    assert found.usage.input_tokens == 5


def test_it_is_an_embedder_and_counts_tokens(unstarted):
    assert isinstance(unstarted, Embedder)
    assert isinstance(unstarted, TokenCounter)


async def test_an_event_of_a_hundred_kilobytes_is_read(provider, backend):
    text = "x" * 100_000
    backend.will(Answer([sse(event("queued"), *streamed(call("t", f'{{"text": "{text}"}}'), size=60_000))]))
    events = await collect(provider.stream(asks(tools=[tool("t")]), MODEL))
    (done,) = [each.tool_call_done.tool_call for each in events if each.HasField("tool_call_done")]
    assert done.arguments["text"] == text
