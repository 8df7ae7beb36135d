"""Counts are what a model server that nobody here wrote bills: llama.cpp's own."""

from __future__ import annotations

import pytest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    CountTokensRequest,
    EmbedRequest,
)

from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.llama_server import llama_server
from tests.support.tiny_model import write_tiny_model

pytestmark = pytest.mark.integration


async def test_a_conversation_is_as_long_as_the_server_says_when_it_answers_it(tmp_path):
    file = write_tiny_model(tmp_path / "tiny.gguf")
    async with (
        llama_server(file) as root,
        gateway(tmp_path / "g", model=compatible(f"{root}/v1")) as served,
    ):
        client = served.client.gateway
        for text in ("Good evening", "晚上好，請給我一張桌子", "def f(x):\n    return 42\n"):
            request = asks(text, sampling={"max_tokens": 2})
            counted = await client.CountTokens(CountTokensRequest(request=request))
            assert (counted.source, counted.error_bound) == (TOKEN_COUNT_SOURCE_BACKEND, 0.0)
            assert counted.tokens == (await client.Generate(request)).usage.input_tokens
            bare = await client.CountTokens(CountTokensRequest(text=text))
            assert 0 < bare.tokens < counted.tokens


async def test_its_vectors_come_through_the_gateway(tmp_path):
    file = write_tiny_model(tmp_path / "tiny.gguf")
    async with (
        llama_server(file) as root,
        gateway(tmp_path / "g", model=compatible(f"{root}/v1")) as served,
    ):
        reply = await served.client.gateway.Embed(EmbedRequest(texts=["one", "two", "one"]))
    first, second, third = (list(each.values) for each in reply.embeddings)
    assert first == pytest.approx(third, abs=1e-4)
    assert first != pytest.approx(second, abs=1e-4)
    assert reply.usage.input_tokens > 0
