"""What the provider for the Messages API does besides one reply: its headers, its models, its counts."""

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
    failed,
    fake_anthropic,
    listed,
    message,
    reply,
    says,
    sse,
)
from tests.support.fake_openai import CUT, HANG, HOLD, Answer, whole
from tests.support.generating import asks, check_grammar, collect, finish_of, text_of, tool
from tests.support.providing import make, started

WAYS = pytest.mark.parametrize("way", ["stream", "generate"])


@pytest.fixture
async def backend():
    async with fake_anthropic() as fake:
        yield fake


@pytest.fixture
async def provider(backend):
    async for each in started(made(backend)):
        yield each


def made(backend, **more):
    return make(**{"provider": "anthropic", "endpoint": backend.url, "api_key": KEY, **more})


async def run(provider, request, way, model=MODEL):
    if way == "stream":
        return await collect(provider.stream(request, model))
    return await provider.generate(request, model)


async def answers_with(backend, **more):
    """The events of a reply, from a provider of such settings."""
    provider = made(backend, **more)
    await provider.start()
    try:
        return await collect(provider.stream(asks(), MODEL))
    finally:
        await provider.stop()


# Where and who


def test_without_an_endpoint_it_is_the_vendor():
    assert make(provider="anthropic", api_key=KEY).endpoint == "https://api.anthropic.com/v1"


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_an_endpoint_may_end_before_or_behind_the_version(end):
    endpoint = f"https://proxy.example/anthropic{end}"
    assert make(provider="anthropic", endpoint=endpoint).endpoint == "https://proxy.example/anthropic/v1"


@WAYS
async def test_key_and_version_go_in_their_headers_and_nowhere_else(provider, backend, way):
    await run(provider, asks(), way)
    asked = backend.asked[-1]
    assert (asked.headers["x-api-key"], asked.headers["anthropic-version"]) == (KEY, "2026-10-21")
    assert "authorization" not in asked.headers
    assert KEY not in json.dumps(asked.body) + str(asked.query) + asked.path
    assert asked.path == "/v1/messages"


async def test_a_key_may_be_a_bearer_token(backend):
    assert text_of(await answers_with(backend, key_header="authorization"))
    assert backend.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in backend.asked[-1].headers


async def test_the_version_before_still_takes_a_temperature(backend):
    events = await answers_with(backend, api_version="2023-06-01", temperature=0.5)
    assert not events[0].started.warnings
    assert backend.last["temperature"] == 0.5
    assert backend.asked[-1].headers["anthropic-version"] == "2023-06-01"
    events = await answers_with(backend, temperature=0.5)
    assert [each.field for each in events[0].started.warnings] == ["sampling.temperature"]
    assert "temperature" not in backend.last


async def test_the_vendor_may_keep_what_it_has_read(backend):
    await answers_with(backend, prompt_cache="1h")
    assert backend.last["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


# Models


async def test_models_are_listed_to_the_last_page(provider, backend):
    backend.models, backend.page = [listed(name) for name in "abcde"], 2
    assert await provider.list_models() == [VendorModel(name, 200_000) for name in "abcde"]
    assert len(backend.asked) == 3


@pytest.mark.parametrize("answer", [{}, [], {"data": [{}]}, {"data": "x"}, {"data": [None]}])
async def test_what_is_no_list_of_models_is_a_failure(provider, backend, answer):
    backend.listing = answer
    with pytest.raises(ProtocolViolation):
        await provider.list_models()


async def test_what_a_model_can_do_is_asked_once_and_only_where_it_matters(provider, backend):
    await run(provider, asks(), "stream")
    assert [each.path for each in backend.asked] == ["/v1/messages"]
    backend.models = [listed(adaptive=False, effort=False)]
    for _ in range(2):
        await run(provider, asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}), "stream")
    assert backend.last["thinking"]["type"] == "enabled"
    assert [each.path for each in backend.asked].count(f"/v1/models/{MODEL}") == 1


async def test_what_the_list_has_told_is_not_asked_again(provider, backend):
    backend.models = [listed(disabled=False)]
    await provider.list_models()
    request = asks(tools=[tool("t")], tool_choice=ToolChoice(mode=ToolChoice.MODE_REQUIRED))
    events = await run(provider, request, "stream")
    assert [each.field for each in events[0].started.warnings] == ["tool_choice"]
    assert [each.path for each in backend.asked] == ["/v1/models", "/v1/messages"]


async def test_a_server_that_tells_nothing_of_its_models_is_asked_all_the_same(provider, backend):
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_NONE})
    assert text_of(await run(provider, request, "stream", "unlisted"))
    assert backend.last["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize("name", ["../files", "a/b", "x" * 200, "a?b", ""])
async def test_a_name_that_is_none_leads_to_no_other_path(provider, backend, name):
    await run(provider, asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH}), "stream", name)
    assert [each.path for each in backend.asked] == ["/v1/messages"]


# Tokens


async def test_the_vendor_counts_tokens(provider, backend):
    assert isinstance(provider, TokenCounter)
    assert not isinstance(provider, Embedder)
    assert await provider.count_tokens(asks(tools=[tool("clock.now")]), MODEL) == 42
    assert backend.asked[-1].path == "/v1/messages/count_tokens"
    assert "max_tokens" not in backend.last


@pytest.mark.parametrize("answer", [{}, [], {"input_tokens": "9"}, {"input_tokens": -1}])
async def test_what_is_no_count_is_a_failure(provider, backend, answer):
    backend.will(whole(answer))
    with pytest.raises(ProtocolViolation):
        await provider.count_tokens(asks(), MODEL)


async def test_a_count_that_is_limited_says_so(provider, backend):
    backend.will(error(429, "rate_limit_error", "slow down"))
    with pytest.raises(RateLimited):
        await provider.count_tokens(asks(), MODEL)


async def test_a_strict_count_refuses_what_a_strict_request_would(provider):
    with pytest.raises(InvalidRequest):
        await provider.count_tokens(asks(sampling={"seed": 1}, strict=True), MODEL)


# Failures


@WAYS
@pytest.mark.parametrize(
    ("answer", "kind"),
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
        (Answer([sse(failed("overloaded_error", "Overloaded"))]), BackendOverloaded),
        (Answer([b"data: " + b"x" * (17 * 1024 * 1024)]), ProtocolViolation),
        (Answer([CUT], status=0), BackendFailed),
    ],
)
async def test_a_failure_is_of_its_kind_and_tells_no_key(provider, backend, answer, kind, way):
    backend.will(answer, answer)
    with pytest.raises(kind) as failure:
        await run(provider, asks(), way)
    assert type(failure.value) is kind
    assert KEY not in failure.value.detail


@WAYS
async def test_silence_is_a_timeout_before_and_amid_a_reply(backend, way):
    async for impatient in started(made(backend, http={"read_timeout": 0.05, "idle_timeout": 0.05})):
        for answer in (HOLD, Answer([sse(begin(), *says("Ye")), HANG])):
            backend.will(answer)
            with pytest.raises(BackendTimeout):
                await run(impatient, asks(), way)


async def test_a_server_that_cannot_stream_answers_whole(provider, backend):
    backend.will(whole(message({"type": "text", "text": "Good evening."})))
    events = await run(provider, asks(), "stream")
    check_grammar(events)
    assert (text_of(events), finish_of(events)) == ("Good evening.", "stop")
    assert events[-2].usage.input_tokens == 7


# Streams


async def test_a_stream_that_is_left_frees_the_backend(provider, backend):
    backend.will(Answer([sse(begin(), *says("Ye")[:2]), HANG]))
    async with aclosing(provider.stream(asks(), MODEL)) as events:
        async for event in events:
            if event.HasField("text_delta"):
                break
    await asyncio.wait_for(backend.gone.wait(), 5)


@WAYS
@pytest.mark.parametrize("answer", [HOLD, Answer([sse(begin()), HANG])])
async def test_a_call_that_is_cancelled_frees_the_backend(provider, backend, answer, way):
    backend.will(answer)
    task = asyncio.create_task(run(provider, asks(), way))
    await asyncio.wait_for(backend.busy.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(backend.gone.wait(), 5)


async def test_bytes_that_come_one_by_one_are_the_same_reply(provider, backend):
    blocks = [*says("你好"), *calls("tables_reserve", '{"who": "é"}', index=1)]
    stream = sse(begin(), *blocks, *end("tool_use"), newline="\r\n")
    request = asks(tools=[tool("tables.reserve")])
    backend.will(Answer([stream]), Answer([stream[place : place + 1] for place in range(len(stream))]))
    at_once, slowly = [await provider.generate(request, MODEL) for _ in range(2)]
    check_grammar(slowly)
    assert [each for each in slowly if not each.HasField("tool_call_delta")] == [
        each for each in at_once if not each.HasField("tool_call_delta")
    ]
    assert finish_of(slowly) == "tool_calls"


async def test_a_connection_serves_again_after_a_reply(provider, backend):
    for _ in range(3):
        backend.will(Answer([sse(*reply("Yes."))]))
        await run(provider, asks(), "stream")
    assert len(backend.connections) == 1
