"""The provider for the Messages API: endpoint, headers, models, token counts, errors and cancellation."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import (
    REASONING_EFFORT_HIGH,
    REASONING_EFFORT_NONE,
    ToolChoice,
)
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ConnectionBroken,
    ContextTooLong,
    ModelMissing,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.core.provider import Embedder, TokenCounter, VendorModel
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.fake_anthropic import (
    KEY,
    MODEL,
    begin,
    calls,
    end,
    error,
    error_event,
    fake_anthropic,
    listed,
    message,
    reply,
    says,
    sse,
)
from tests.support.fake_openai import CUT, HANG, HOLD, Answer, whole
from tests.support.generate_requests import asks, check_grammar, collect, finish_of, text_of, tool
from tests.support.providers import make, started

METHODS = pytest.mark.parametrize("method", ["stream", "generate"])


@pytest.fixture
async def backend():
    async with fake_anthropic() as fake:
        yield fake


@pytest.fixture
async def provider(backend):
    async for each in started(provider_of(backend)):
        yield each


def provider_of(backend, **more):
    return make(**{"provider": "anthropic", "endpoint": backend.url, "api_key": KEY, **more})


async def run(provider, request, method, model=MODEL):
    if method == "stream":
        return await collect(provider.stream(request, model))
    return await provider.generate(request, model)


async def reply_with(backend, **settings):
    """The events of a reply, from a provider with these settings."""
    provider = provider_of(backend, **settings)
    await provider.start()
    try:
        return await collect(provider.stream(asks(), MODEL))
    finally:
        await provider.stop()


# Endpoint and headers


def test_the_default_endpoint_is_the_vendors():
    assert make(provider="anthropic", api_key=KEY).endpoint == "https://api.anthropic.com/v1"


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_an_endpoint_may_end_before_or_after_the_version(end):
    endpoint = f"https://proxy.example/anthropic{end}"
    assert make(provider="anthropic", endpoint=endpoint).endpoint == "https://proxy.example/anthropic/v1"


@METHODS
async def test_key_and_version_go_in_their_headers_and_nowhere_else(provider, backend, method):
    await run(provider, asks(), method)
    asked = backend.asked[-1]
    assert (asked.headers["x-api-key"], asked.headers["anthropic-version"]) == (KEY, "2026-10-21")
    assert "authorization" not in asked.headers
    assert KEY not in json.dumps(asked.body) + str(asked.query) + asked.path
    assert asked.path == "/v1/messages"


async def test_a_key_may_be_a_bearer_token(backend):
    assert text_of(await reply_with(backend, key_header="authorization"))
    assert backend.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in backend.asked[-1].headers


async def test_the_previous_version_takes_a_temperature(backend):
    events = await reply_with(backend, api_version="2023-06-01", temperature=0.5)
    assert not events[0].started.warnings
    assert backend.last["temperature"] == 0.5
    assert backend.asked[-1].headers["anthropic-version"] == "2023-06-01"
    events = await reply_with(backend, temperature=0.5)
    assert [each.field for each in events[0].started.warnings] == ["sampling.temperature"]
    assert "temperature" not in backend.last


async def test_prompt_cache_sets_cache_control(backend):
    await reply_with(backend, prompt_cache="1h")
    assert backend.last["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


# Models


async def test_models_are_listed_to_the_last_page(provider, backend):
    backend.models, backend.page = [listed(name) for name in "abcde"], 2
    assert await provider.list_models() == [VendorModel(name, 200_000) for name in "abcde"]
    assert len(backend.asked) == 3


@pytest.mark.parametrize("answer", [{}, [], {"data": [{}]}, {"data": "x"}, {"data": [None]}])
async def test_an_invalid_list_of_models_is_a_protocol_violation(provider, backend, answer):
    backend.listing = answer
    with pytest.raises(ProtocolViolation):
        await provider.list_models()


async def test_a_models_profile_is_asked_for_once_and_only_if_needed(provider, backend):
    await run(provider, asks(), "stream")
    assert [each.path for each in backend.asked] == ["/v1/messages"]
    backend.models = [listed(adaptive=False, effort=False)]
    for _ in range(2):
        await run(provider, asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}), "stream")
    assert backend.last["thinking"]["type"] == "enabled"
    assert [each.path for each in backend.asked].count(f"/v1/models/{MODEL}") == 1


async def test_a_profile_from_the_list_is_not_asked_for_again(provider, backend):
    backend.models = [listed(disabled=False)]
    await provider.list_models()
    request = asks(tools=[tool("t")], tool_choice=ToolChoice(mode=ToolChoice.MODE_REQUIRED))
    events = await run(provider, request, "stream")
    assert [each.field for each in events[0].started.warnings] == ["tool_choice"]
    assert [each.path for each in backend.asked] == ["/v1/models", "/v1/messages"]


async def test_a_model_without_a_profile_is_used_all_the_same(provider, backend):
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE})
    assert text_of(await run(provider, request, "stream", "unlisted"))
    assert backend.last["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize("name", ["../files", "a/b", "x" * 200, "a?b", ""])
async def test_an_invalid_model_name_never_becomes_part_of_a_path(provider, backend, name):
    await run(provider, asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}), "stream", name)
    assert [each.path for each in backend.asked] == ["/v1/messages"]


# Tokens


async def test_the_vendor_counts_tokens(provider, backend):
    assert isinstance(provider, TokenCounter)
    assert not isinstance(provider, Embedder)
    assert await provider.count_tokens(asks(tools=[tool("clock.now")]), MODEL) == 42
    assert backend.asked[-1].path == "/v1/messages/count_tokens"
    assert "max_tokens" not in backend.last


@pytest.mark.parametrize("answer", [{}, [], {"input_tokens": "nine"}, {"input_tokens": -1}])
async def test_an_invalid_count_is_a_protocol_violation(provider, backend, answer):
    backend.will(whole(answer))
    with pytest.raises(ProtocolViolation):
        await provider.count_tokens(asks(), MODEL)


async def test_a_rate_limited_count_is_an_error(provider, backend):
    backend.will(error(429, "rate_limit_error", "slow down"))
    with pytest.raises(RateLimited):
        await provider.count_tokens(asks(), MODEL)


async def test_a_strict_count_refuses_what_a_strict_request_would(provider):
    with pytest.raises(InvalidRequest):
        await provider.count_tokens(asks(sampling={"seed": 1}, strict=True), MODEL)


# Errors


@METHODS
@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (error(401, "authentication_error", f"invalid x-api-key {KEY}"), BackendAuth),
        (error(403, "permission_error"), BackendAuth),
        (error(400, "invalid_request_error", "Your credit balance is too low"), QuotaExhausted),
        (error(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), ContextTooLong),
        (error(400, "invalid_request_error", f"metadata: no {KEY}"), RequestRefused),
        (error(404, "not_found_error", "model: claude-9"), ModelMissing),
        (error(429, "rate_limit_error"), RateLimited),
        (error(500, "api_error"), BackendFailed),
        (error(529, "overloaded_error", "Overloaded"), BackendOverloaded),
        (Answer([b"<html><title>Sign in</title>"], content_type="text/html"), ProtocolViolation),
        (Answer([b"{"], content_type="application/json"), ProtocolViolation),
        (Answer([sse(begin(), *says("Ye"), "{broken")]), ProtocolViolation),
        (Answer([sse(error_event("overloaded_error", "Overloaded"))]), BackendOverloaded),
        (Answer([b"data: " + b"x" * (17 * 1024 * 1024)]), ProtocolViolation),
        (Answer([CUT], status=0), ConnectionBroken),
    ],
)
async def test_each_error_has_its_class_and_contains_no_key(provider, backend, answer, error_class, method):
    backend.will(answer, answer)
    with pytest.raises(error_class) as raised:
        await run(provider, asks(), method)
    assert type(raised.value) is error_class
    assert KEY not in raised.value.detail


@METHODS
async def test_silence_before_and_during_a_reply_is_a_timeout(backend, method):
    timeouts = {"read_timeout": 0.05, "idle_timeout": 0.05}
    async for provider in started(provider_of(backend, http=timeouts)):
        for answer in (HOLD, Answer([sse(begin(), *says("Ye")), HANG])):
            backend.will(answer)
            with pytest.raises(BackendTimeout):
                await run(provider, asks(), method)


async def test_a_server_that_cannot_stream_answers_at_once(provider, backend):
    backend.will(whole(message({"type": "text", "text": "Good evening."})))
    events = await run(provider, asks(), "stream")
    check_grammar(events)
    assert (text_of(events), finish_of(events)) == ("Good evening.", "stop")
    assert events[-2].usage.input_tokens == 7


# Streams


async def test_closing_a_stream_closes_its_connection(provider, backend):
    backend.will(Answer([sse(begin(), *says("Ye")[:2]), HANG]))
    async with aclosing(provider.stream(asks(), MODEL)) as events:
        async for event in events:
            if event.HasField("text_delta"):
                break
    await asyncio.wait_for(backend.gone.wait(), 20)


@METHODS
@pytest.mark.parametrize("answer", [HOLD, Answer([sse(begin()), HANG])])
async def test_cancelling_a_call_closes_its_connection(provider, backend, answer, method):
    backend.will(answer)
    task = asyncio.create_task(run(provider, asks(), method))
    await asyncio.wait_for(backend.busy.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(backend.gone.wait(), 20)


async def test_single_bytes_give_the_same_reply(provider, backend):
    blocks = [*says("你好"), *calls("tables_reserve", '{"who": "é"}', index=1)]
    stream = sse(begin(), *blocks, *end("tool_use"), newline="\r\n")
    request = asks(tools=[tool("tables.reserve")])
    backend.will(Answer([stream]), Answer([stream[index : index + 1] for index in range(len(stream))]))
    at_once, by_byte = [await provider.generate(request, MODEL) for _ in range(2)]
    check_grammar(by_byte)
    assert [each for each in by_byte if not each.HasField("tool_call_delta")] == [
        each for each in at_once if not each.HasField("tool_call_delta")
    ]
    assert finish_of(by_byte) == "tool_calls"


async def test_a_connection_is_reused_after_a_reply(provider, backend):
    for _ in range(3):
        backend.will(Answer([sse(*reply("Yes."))]))
        await run(provider, asks(), "stream")
    assert len(backend.connections) == 1
