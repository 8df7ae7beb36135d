"""Embed as callers use it: over a real port and in the process."""

from __future__ import annotations

import asyncio
import math

import grpc.aio
import pytest
from clawdbot.common.v1.usage_pb2 import UsageProvenance
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_servicekit.error_table import remote_error

from tests.support.fake_openai import HOLD, KEY, error, fake_openai, whole
from tests.support.gateway_service import compatible, gateway


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


async def fault(client, *texts, **fields):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.gateway.Embed(EmbedRequest(texts=texts, **fields), timeout=20)
    return remote_error(refused.value)


def similarity(one, other) -> float:
    return sum(a * b for a, b in zip(one.values, other.values, strict=True))


@pytest.mark.parametrize("channel", ["client", "inside"])
async def test_without_a_configuration_texts_with_common_words_are_similar(tmp_path, channel):
    async with gateway(tmp_path) as served:
        ask = getattr(served, channel).gateway.Embed
        texts = ["a table for two", "a table for four", "Regen in Berlin"]
        reply = await ask(EmbedRequest(texts=texts))
        again = await ask(EmbedRequest(texts=texts[::-1], dimensions=12))
    two, four, rain = reply.embeddings
    assert similarity(two, four) > 0.5 > abs(similarity(two, rain))
    assert math.isclose(similarity(two, two), 1.0, rel_tol=1e-5)
    assert (reply.backend, reply.model) == ("echo", "echo")
    assert (reply.usage.input_tokens > 0, reply.usage.output_tokens) == (True, 0)
    assert {len(each.values) for each in again.embeddings} == {12}
    assert len(two.values) == 64


async def test_vectors_keep_the_order_of_the_texts(tmp_path, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        reply = await served.client.gateway.Embed(EmbedRequest(texts=["a", "abc", "ab"], dimensions=2))
        assert [list(each.values) for each in reply.embeddings] == [[1, 1], [3, 3], [2, 2]]
        assert (reply.usage.input_tokens, reply.usage.provenance) == (
            5,
            UsageProvenance.USAGE_PROVENANCE_REPORTED,
        )
        assert backend.last["dimensions"] == 2
        assert served.idle


async def test_an_invalid_request_is_refused_with_its_fields(tmp_path):
    async with gateway(tmp_path, gateway={"max_texts": 2, "ollama": None}) as served:
        client = served.client
        cases = [
            (await fault(client), ["texts"]),
            (await fault(client, "a", "b", "c"), ["texts"]),
            (await fault(client, "a", "", dimensions=0), ["texts[1]", "dimensions"]),
        ]
        for error, fields in cases:
            assert (error.code, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
            assert [each.field for each in error.violations] == fields
        assert (await fault(client, "a", model="nobody")).reason == "MODEL_NOT_FOUND"


async def test_a_text_that_is_too_large_is_refused(tmp_path):
    async with gateway(tmp_path, gateway={"max_request": 2048, "ollama": None}) as served:
        assert "bytes" in (await fault(served.client, "x" * 4000)).violations[0].description


async def test_dimensions_that_a_model_does_not_support_are_refused(tmp_path, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.will(whole({"data": [{"embedding": [1.0, 2.0]}]}))
        error = await fault(served.client, "a", dimensions=3)
    assert (error.code, [each.field for each in error.violations]) == ("INVALID_ARGUMENT", ["dimensions"])


@pytest.mark.parametrize(
    "answer",
    [
        {"data": []},
        {"data": [{"embedding": [1.0]}, {"embedding": [1.0]}]},
        {"data": [{"embedding": ["x"]}]},
        {"data": [{"embedding": []}]},
        {"data": None},
        [],
    ],
)
async def test_a_response_without_one_vector_per_text_is_an_error(tmp_path, backend, answer):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.will(whole(answer))
        assert (await fault(served.client, "a")).reason == "BACKEND_PROTOCOL"


async def test_a_provider_without_embeddings_is_an_error_and_a_fallback_takes_over(tmp_path):
    backends = {
        "script": {"provider": "scripted", "models": ["m"], "replies": [{"text": "Good evening."}]},
        "parrot": {"provider": "echo"},
    }
    aliases = {
        "chat": "script/m",
        "vectors": ["script/m", {"target": "parrot/echo", "fallback": True}],
    }
    async with gateway(tmp_path, models={"backends": backends, "aliases": aliases}) as served:
        error = await fault(served.client, "a", model="chat")
        assert (error.code, error.reason) == ("FAILED_PRECONDITION", "BACKEND_CANNOT_EMBED")
        assert "script/m: the provider scripted does not support embeddings" in error.message
        reply = await served.client.gateway.Embed(EmbedRequest(texts=["a"], model="vectors"))
        assert reply.backend == "parrot"


async def test_the_next_target_answers_where_a_backend_is_overloaded(tmp_path, backend):
    backends = {"main": compatible(backend.url, api_key=KEY, models=["m"]), "echo": {"provider": "echo"}}
    aliases = {"chat": ["main/m", {"target": "echo/echo", "fallback": True}]}
    async with gateway(tmp_path, models={"backends": backends, "aliases": aliases}) as served:
        backend.will(error(429, "slow down", **{"retry-after": "7"}))
        assert (await served.client.gateway.Embed(EmbedRequest(texts=["a"], model="chat"))).backend == "echo"
        backend.will(error(429, "slow down", **{"retry-after": "7"}))
        failure = await fault(served.client, "a", model="main/m")
    assert (failure.code, failure.reason, failure.retry_after) == (
        "RESOURCE_EXHAUSTED",
        "BACKEND_RATE_LIMITED",
        7.0,
    )


async def test_a_plugin_can_refuse_it_before_it_starts(tmp_path, backend):
    limiter = {"rate_limiter": {"generations": "1/day"}}
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY), plugins=[limiter]) as served:
        await served.client.gateway.Embed(EmbedRequest(texts=["a"]))
        asked = len(backend.asked)
        assert (await fault(served.client, "a")).reason == "RATE_LIMITED"
        assert len(backend.asked) == asked


async def test_a_cancelled_call_closes_the_upstream_connection(tmp_path, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        backend.will(HOLD)
        task = asyncio.create_task(fault(served.client, "a"))
        await backend.busy.wait()
        assert not served.idle
        task.cancel()
        await backend.gone.wait()
    assert backend.left == 1
