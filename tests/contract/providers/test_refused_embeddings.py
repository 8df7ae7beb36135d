"""Embed: an error after a status of 200 is one, and what a refusal costs is what had been done before."""

from __future__ import annotations

from typing import Final

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_admin_service_pb2 import GetUsageRequest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_servicekit.error_table import remote_error

from tests.support import fake_gemini
from tests.support.fake_gemini import EMBEDDER
from tests.support.fake_openai import error, whole
from tests.support.wires import WIRES, served

ERRORS: Final = {
    "chat": {"error": {"message": "The server is overloaded", "code": 503}},
    "responses": {"error": {"message": "The server is overloaded", "code": "server_is_overloaded"}},
    "gemini": fake_gemini.status(503, "The model is overloaded."),
    "ollama": {"error": "server busy, please try again. maximum pending requests exceeded"},
}
LATER: Final = [f"text {number}" for number in range(150)]
"""More than Gemini takes at once."""
VECTORS: Final = {"embeddings": [{"values": [1.0, 2.0]}] * 100}


async def refused(client, texts=("a",), **more):
    """The error of an Embed."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await client.gateway.Embed(EmbedRequest(texts=texts, **more), timeout=30)
    return remote_error(raised.value)


async def spent(client):
    """The input tokens that usage has."""
    (record,) = (await client.admin.GetUsage(GetUsageRequest(), timeout=30)).records
    return record.usage.input_tokens


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_with_a_status_of_200_is_one_that_costs_nothing(tmp_path, name):
    async with served(tmp_path, WIRES[name], retry={"attempts": 0}) as (backend, client):
        backend.will(whole(ERRORS[name]))
        assert (await refused(client)).reason == "BACKEND_OVERLOADED"
        assert await spent(client) == 0


async def test_dimensions_that_gemini_refuses_cost_nothing(tmp_path):
    async with served(tmp_path, WIRES["gemini"], name=EMBEDDER) as (backend, client):
        backend.will(fake_gemini.error(400, "output_dimensionality must be at most 3072"))
        assert (await refused(client, dimensions=5000)).violations[0].field == "dimensions"
        assert await spent(client) == 0


@pytest.mark.parametrize(("counted", "cost"), [({}, 300), ({"usageMetadata": {"promptTokenCount": 77}}, 77)])
async def test_batches_before_one_that_is_refused_are_charged_for(tmp_path, counted, cost):
    async with served(tmp_path, WIRES["gemini"], name=EMBEDDER) as (backend, client):
        backend.will(whole({**VECTORS, **counted}), error(429, "slow down"))
        assert (await refused(client, LATER)).reason == "BACKEND_RATE_LIMITED"
        assert cost * 0.5 <= await spent(client) <= cost * 1.5
        assert len([each for each in backend.asked if each.path.endswith("batchEmbedContents")]) == 2


@pytest.mark.parametrize("name", ["chat", "responses", "ollama"])
async def test_vectors_of_another_length_are_charged_for(tmp_path, name):
    vectors = [[1.0, 2.0]]
    listed = {"data": [{"index": 0, "embedding": vectors[0]}], "usage": {"prompt_tokens": 9}}
    answer = {"embeddings": vectors, "prompt_eval_count": 9} if name == "ollama" else listed
    async with served(tmp_path, WIRES[name]) as (backend, client):
        backend.will(whole(answer))
        assert (await refused(client, dimensions=3)).violations[0].field == "dimensions"
        assert await spent(client) == 9
