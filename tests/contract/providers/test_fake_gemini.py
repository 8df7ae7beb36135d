"""Google's own client works with the fake server, so our provider is tested against realistic answers."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager

import aiohttp
import pytest
from google import genai
from google.genai import errors, types

from tests.support.fake_gemini import (
    EMBEDDER,
    KEY,
    MODEL,
    Answer,
    call,
    chunk,
    counts,
    error,
    fake_gemini,
    quota,
    retry,
    sse,
    status,
    whole,
)


@pytest.fixture
async def backend():
    async with fake_gemini() as fake:
        yield fake


@asynccontextmanager
async def client_of(backend, key=KEY):
    """With our own session: the client's is of a class that aiohttp warns about."""
    async with aiohttp.ClientSession() as session:
        options = types.HttpOptions(
            base_url=backend.url.removesuffix("/v1beta"), api_version="v1beta", aiohttp_client=session
        )
        async with genai.Client(api_key=key, vertexai=False, http_options=options).aio as client:
            yield client


@pytest.fixture
async def client(backend):
    async with client_of(backend) as each:
        yield each


async def streamed(client, **config):
    stream = await client.models.generate_content_stream(
        model=MODEL, contents="Good evening", config=types.GenerateContentConfig(**config)
    )
    return [each async for each in stream]


async def test_it_lists_models_page_by_page(client, backend):
    found = [each.name async for each in await client.models.list()]
    assert found == [f"models/{EMBEDDER}", f"models/{MODEL}"]
    assert [each.query.get("pageToken") for each in backend.asked] == [None, "p/2 ="]


async def test_it_answers_without_streaming(client, backend):
    config = types.GenerateContentConfig(max_output_tokens=9)
    reply = await client.models.generate_content(model=MODEL, contents="Good evening", config=config)
    assert reply.text == "Good evening."
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    assert reply.usage_metadata.prompt_token_count == 7
    assert backend.asked[-1].headers["x-goog-api-key"] == KEY
    assert backend.last["contents"] == [{"parts": [{"text": "Good evening"}], "role": "user"}]


async def test_it_streams(client, backend):
    chunks = await streamed(client)
    assert "".join(each.text or "" for each in chunks) == "Good evening."
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.candidates_token_count == 3
    assert backend.asked[-1].query["alt"] == "sse"


async def test_it_thinks_and_calls_functions_with_a_thought_signature(client, backend):
    signature = base64.b64encode(b"signature").decode()
    backend.will(
        Answer(
            [
                sse(
                    chunk({"text": "They want a table.", "thought": True}, usage=counts(output=None)),
                    chunk(call("reserve", {"people": 4}, signature=signature)),
                    chunk(finish="STOP", usage=counts(thoughts=5)),
                )
            ]
        )
    )
    chunks = await streamed(client)
    assert chunks[0].candidates[0].content.parts[0].thought is True
    part = chunks[1].candidates[0].content.parts[0]
    assert (part.function_call.name, part.function_call.args) == ("reserve", {"people": 4})
    assert part.thought_signature == b"signature"
    assert chunks[2].usage_metadata.thoughts_token_count == 5


async def test_it_blocks_a_prompt(client, backend):
    backend.will(whole({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": counts(output=None)}))
    reply = await client.models.generate_content(model=MODEL, contents="Good evening")
    assert not reply.candidates
    assert reply.prompt_feedback.block_reason == types.BlockedReason.SAFETY


async def test_it_counts_tokens_and_embeds(client):
    assert (await client.models.count_tokens(model=MODEL, contents="Good evening")).total_tokens == 2
    found = await client.models.embed_content(
        model=EMBEDDER, contents=["a", "bcd"], config=types.EmbedContentConfig(output_dimensionality=3)
    )
    assert [each.values for each in found.embeddings] == [[1.0, 0.5, 0.5], [3.0, 0.5, 0.5]]


async def test_it_refuses_a_wrong_key_as_a_bad_request(backend):
    async with client_of(backend, "AIzaWrong") as client:
        with pytest.raises(errors.ClientError) as refused:
            await client.models.generate_content(model=MODEL, contents="Good evening")
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    assert refused.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_it_does_not_know_another_model(client):
    with pytest.raises(errors.ClientError) as refused:
        await client.models.generate_content(model="gemini-9", contents="Good evening")
    assert refused.value.status == "NOT_FOUND"


async def test_it_limits_the_rate(client, backend):
    details = (quota("GenerateRequestsPerMinutePerProjectPerModel"), retry("7s"))
    backend.will(error(429, "slow down", None, *details))
    with pytest.raises(errors.ClientError) as limited:
        await client.models.generate_content(model=MODEL, contents="Good evening")
    assert limited.value.status == "RESOURCE_EXHAUSTED"
    assert limited.value.details["error"]["details"][1]["retryDelay"] == "7s"


async def test_it_fails_in_the_middle(client, backend):
    backend.will(Answer([sse(chunk({"text": "Good"}), status(503, "The model is overloaded."))]))
    with pytest.raises(errors.APIError, match="overloaded"):
        await streamed(client)
