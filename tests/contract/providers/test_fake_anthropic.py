"""Anthropic's own client works with the fake server, so our provider is tested against realistic answers."""

from __future__ import annotations

import anthropic
import pytest

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
    says,
    sse,
    thinks,
)
from tests.support.fake_openai import Answer

ASKED = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Good evening"}]}


@pytest.fixture
async def backend():
    async with fake_anthropic() as fake:
        yield fake


def client_of(backend, key=KEY):
    # Its base URL ends before the version.
    url = backend.url.removesuffix("/v1")
    return anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0)


@pytest.fixture
async def client(backend):
    async with client_of(backend) as each:
        yield each


async def test_it_lists_models_page_by_page(client, backend):
    backend.models, backend.page = [listed(name) for name in "abc"], 2
    found = [each async for each in client.models.list(limit=2)]
    assert [each.id for each in found] == ["a", "b", "c"]
    assert found[0].max_input_tokens == 200_000
    assert found[0].capabilities.thinking.types.adaptive.supported


async def test_it_describes_one_model(client):
    assert (await client.models.retrieve(MODEL)).max_tokens == 64_000
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("nowhere")


async def test_it_answers_without_streaming(client, backend):
    reply = await client.messages.create(**ASKED)
    assert (reply.content[0].text, reply.stop_reason) == ("Good evening.", "end_turn")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 3)
    assert backend.last == ASKED


async def test_it_streams(client):
    async with client.messages.stream(**ASKED) as stream:
        pieces = [each async for each in stream.text_stream]
        final = await stream.get_final_message()
    assert pieces == ["Good", " evening", "."]
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 3)


async def test_it_thinks_and_calls_tools(client, backend):
    blocks = [*thinks("hm", index=0), *calls("add", '{"a"', ": 1}", index=1)]
    backend.will(Answer([sse(begin(), *blocks, *end("tool_use"))]))
    async with client.messages.stream(**ASKED) as stream:
        final = await stream.get_final_message()
    assert [each.type for each in final.content] == ["thinking", "tool_use"]
    assert (final.content[0].thinking, final.content[0].signature) == ("hm", "c2ln")
    assert final.content[1].input == {"a": 1}


async def test_it_counts_tokens(client):
    counted = await client.messages.count_tokens(model=MODEL, messages=ASKED["messages"])
    assert counted.input_tokens == 42


async def test_it_refuses_a_wrong_key(backend):
    async with client_of(backend, "sk-ant-wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            await client.messages.create(**ASKED)
    assert refused.value.type == "authentication_error"


async def test_it_refuses_a_field_that_the_version_has_removed(client):
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs"):
        await client.messages.create(**ASKED, extra_body={"temperature": 1.0})


async def test_it_limits_the_rate_and_is_overloaded(client, backend):
    backend.will(error(429, "rate_limit_error", "slow down", **{"Retry-After": "7"}))
    with pytest.raises(anthropic.RateLimitError) as limited:
        await client.messages.create(**ASKED)
    assert limited.value.response.headers["retry-after"] == "7"
    backend.will(error(529, "overloaded_error", "Overloaded"))
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        await client.messages.create(**ASKED)
    assert overloaded.value.status_code == 529


async def test_it_fails_in_the_middle(client, backend):
    backend.will(Answer([sse(begin(), *says("Good"), error_event("overloaded_error", "Overloaded"))]))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async with client.messages.stream(**ASKED) as stream:
            [each async for each in stream.text_stream]
