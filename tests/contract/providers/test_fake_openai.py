"""OpenAI's own client works with the fake server, so our provider is tested against realistic answers."""

from __future__ import annotations

import openai
import pytest

from tests.support.fake_openai import KEY, Answer, chunk, error, fake_openai, sse

MESSAGES = [{"role": "user", "content": "Good evening"}]


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


@pytest.fixture
async def client(backend):
    async with openai.AsyncOpenAI(base_url=backend.url, api_key=KEY, max_retries=0) as each:
        yield each


async def test_it_lists_models(client):
    assert [each.id async for each in client.models.list()] == ["fake-1"]


async def test_it_answers_without_streaming(client, backend):
    reply = await client.chat.completions.create(model="fake-1", messages=MESSAGES, max_tokens=9)
    assert reply.choices[0].message.content == "Good evening."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens == 7
    assert backend.last == {"model": "fake-1", "messages": MESSAGES, "max_tokens": 9}


async def test_it_streams(client):
    stream = await client.chat.completions.create(
        model="fake-1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [each async for each in stream]
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "Good evening."
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == 3


async def test_it_calls_tools(client, backend):
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": '{"a": 1}'}}
    pieces = [chunk({"tool_calls": [each]}) for each in (first, rest)]
    backend.will(Answer([sse(*pieces, chunk({}, "tool_calls"))]))
    async with client.chat.completions.stream(model="fake-1", messages=MESSAGES) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"a": 1}'


async def test_it_refuses_a_wrong_key(backend):
    async with openai.AsyncOpenAI(base_url=backend.url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.chat.completions.create(model="fake-1", messages=MESSAGES)
    assert refused.value.code == "invalid_api_key"


async def test_it_limits_the_rate(client, backend):
    backend.will(error(429, "slow down", "rate_limit_exceeded", **{"Retry-After": "7"}))
    with pytest.raises(openai.RateLimitError) as limited:
        await client.chat.completions.create(model="fake-1", messages=MESSAGES)
    assert limited.value.response.headers["retry-after"] == "7"


async def test_it_fails_in_the_middle(client, backend):
    broken = {"error": {"message": "out of memory", "type": "server_error"}}
    backend.will(Answer([sse(chunk({"content": "Good"}), broken, done=False)]))
    stream = await client.chat.completions.create(model="fake-1", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="out of memory"):
        [each async for each in stream]
