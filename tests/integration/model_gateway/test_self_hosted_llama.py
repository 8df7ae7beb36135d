"""A self-hosted server that this project did not write, llama.cpp's own: only its address is configured."""

from __future__ import annotations

import pytest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    CountTokensRequest,
    EmbedRequest,
)

from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, text_of
from tests.support.llama_server import llama_server
from tests.support.tiny_model import REPLY, write_tiny_model


@pytest.mark.parametrize("spelling", ["", "/v1"])
async def test_llama_cpp_is_recognised_and_chats_embeds_and_counts(tmp_path, spelling):
    async with (
        llama_server(write_tiny_model(tmp_path / "tiny.gguf")) as root,
        gateway(tmp_path, model={"type": "self_hosted", "endpoint": f"{root}{spelling}"}) as served,
    ):
        assert served.application.describe()["models"] == (
            f"chat is self_hosted/tiny at {root}/v1 (the first model that it lists)",
        )
        events = await served.client.events(asks())
        check_grammar(events)
        assert text_of(events) == REPLY
        embedded = await served.client.gateway.Embed(EmbedRequest(texts=["one", "two"]))
        assert len(embedded.embeddings) == 2
        counted = await served.client.gateway.CountTokens(CountTokensRequest(request=asks()))
        assert (counted.source, counted.error_bound) == (TOKEN_COUNT_SOURCE_BACKEND, 0)
        assert counted.tokens > 2
