"""OpenAI's own client works with the fake of the Responses API."""

from __future__ import annotations

import openai
import pytest

from tests.support.fake_openai import KEY, Answer, error
from tests.support.fake_responses import MODEL, call, fake_responses, message, reasoning, sse, streamed


@pytest.fixture
async def backend():
    async with fake_responses() as fake:
        yield fake


@pytest.fixture
async def client(backend):
    async with openai.AsyncOpenAI(base_url=backend.url, api_key=KEY, max_retries=0) as each:
        yield each


async def test_it_answers_without_streaming(client):
    reply = await client.responses.create(model=MODEL, input="Good evening")
    assert (reply.output_text, reply.status, reply.usage.input_tokens) == ("Good evening.", "completed", 7)


async def test_it_streams_reasoning_texts_and_calls(client, backend):
    output = [reasoning("Hm.", "So."), message("Yes.", refusal="No."), call("add", '{"a": 1}')]
    backend.will(Answer([sse(*streamed(*output))]))
    async with client.responses.stream(model=MODEL, input="Hi") as stream:
        kinds = {each.type async for each in stream}
        final = await stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in kinds
    assert [each.type for each in final.output] == ["reasoning", "message", "function_call"]
    assert final.output[0].encrypted_content == "gAAA:x="
    assert final.output[2].arguments == '{"a": 1}'


async def test_it_counts_tokens(client):
    counted = await client.responses.input_tokens.count(model=MODEL, input="Good evening")
    assert counted.input_tokens == 2


async def test_it_limits_the_rate(client, backend):
    backend.will(error(429, "slow down", "rate_limit_exceeded"))
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model=MODEL, input="Hi")
