"""Ollama's own client works with the fake server, so our provider is tested against realistic answers."""

from __future__ import annotations

import ollama
import pytest

from tests.support.fake_ollama import MODEL, call, error, fake_ollama, last, line, ndjson, streamed

MESSAGES = [{"role": "user", "content": "Good evening"}]


@pytest.fixture
async def backend():
    async with fake_ollama() as fake:
        yield fake


@pytest.fixture
async def client(backend):
    async with ollama.AsyncClient(host=backend.root) as each:
        yield each


async def test_it_lists_models(client):
    assert [each.model for each in (await client.list()).models] == [MODEL]


async def test_it_shows_a_model(client):
    shown = await client.show(MODEL)
    assert shown.modelinfo["qwen3.context_length"] == 40_960
    assert shown.capabilities == ["completion", "tools"]


async def test_it_answers_without_streaming(client, backend):
    reply = await client.chat(MODEL, MESSAGES)
    assert (reply.message.content, reply.done, reply.done_reason) == ("Good evening.", True, "stop")
    assert (reply.prompt_eval_count, reply.eval_count) == (7, 3)
    assert backend.last["messages"] == MESSAGES


async def test_it_streams(client):
    lines = [each async for each in await client.chat(MODEL, MESSAGES, stream=True)]
    assert "".join(each.message.content for each in lines) == "Good evening."
    assert [each.done for each in lines] == [False, False, False, True]
    assert lines[-1].done_reason == "stop"


async def test_it_calls_tools(client, backend):
    backend.will(streamed(ndjson(line(call("add", {"a": 1})), last())))
    lines = [each async for each in await client.chat(MODEL, MESSAGES, stream=True)]
    assert lines[0].message.tool_calls[0].function.arguments == {"a": 1}


async def test_it_thinks(client, backend):
    backend.will(streamed(ndjson(line({"thinking": "They greet me."}), line({"content": "Hi"}), last())))
    lines = [each async for each in await client.chat(MODEL, MESSAGES, stream=True, think=True)]
    assert lines[0].message.thinking == "They greet me."


async def test_it_embeds(client):
    reply = await client.embed(MODEL, ["one", "three"])
    assert reply.embeddings == [[3.0, 1.0, 0.0], [5.0, 1.0, 0.0]]


async def test_a_chat_without_messages_loads_the_model(client):
    assert (await client.chat(MODEL, [])).done_reason == "load"


async def test_it_does_not_know_another_model(client):
    with pytest.raises(ollama.ResponseError) as refused:
        await client.chat("nowhere", MESSAGES)
    assert (refused.value.status_code, refused.value.error) == (404, "model 'nowhere' not found")


async def test_it_limits_the_rate(client, backend):
    backend.will(error(429, "slow down"))
    with pytest.raises(ollama.ResponseError) as limited:
        await client.chat(MODEL, MESSAGES)
    assert limited.value.status_code == 429


async def test_it_fails_in_the_middle(client, backend):
    backend.will(streamed(ndjson(line({"content": "Good"}), {"error": "out of memory"})))
    with pytest.raises(ollama.ResponseError, match="out of memory"):
        [each async for each in await client.chat(MODEL, MESSAGES, stream=True)]
