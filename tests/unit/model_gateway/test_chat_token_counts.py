"""Token counts are read from /tokenize without parsing each token, and a server's kind is probed once."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import BackendUnreachable, ModelMissing, ProtocolViolation
from clawdbot_model_gateway.formats.chat.token_counts import (
    TokenizeEndpoint,
    TokenizeUnsupported,
    decode_count,
)
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 200_000)), st.booleans(), st.booleans())
def test_a_count_is_the_number_of_tokens(tokens, has_count, spaced):
    response = {**({"count": len(tokens), "max_model_len": 1} if has_count else {}), "tokens": tokens}
    body = json.dumps(response, separators=None if spaced else (",", ":")).encode()
    assert decode_count(body) == len(tokens)


@given(st.binary(max_size=60))
def test_a_response_without_a_count_is_an_error(body):
    if b'"count"' not in body and b'"tokens"' not in body:
        with pytest.raises(ProtocolViolation):
            decode_count(body)


def test_a_million_tokens_are_counted():
    body = b'{"tokens":[' + b",".join([b"151643"] * 1_000_000) + b"]}"
    assert decode_count(body) == 1_000_000


class FakeServer:
    """Returns its responses in order, or raises those that are errors."""

    def __init__(self, *responses) -> None:
        self.responses = list(responses)
        self.requests: list[tuple[str, dict]] = []

    async def __call__(self, path: str, body: bytes) -> bytes:
        self.requests.append((path, json.loads(body)))
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return json.dumps(response).encode()


async def test_a_server_without_the_endpoint_is_probed_once():
    server = FakeServer(ModelMissing("404"), ModelMissing("404"))
    endpoint = TokenizeEndpoint(server)
    for _ in range(3):
        with pytest.raises(TokenizeUnsupported):
            await endpoint.count_text("x", "m")
    assert len(server.requests) == 2


async def test_an_unreachable_server_is_probed_again():
    server = FakeServer(
        BackendUnreachable("down"), {"count": 2, "tokens": [1, 2]}, {"count": 5, "tokens": []}
    )
    endpoint = TokenizeEndpoint(server)
    with pytest.raises(BackendUnreachable):
        await endpoint.count_text("x", "m")
    assert await endpoint.count_text("x", "m") == 5


async def test_a_vendor_without_the_endpoint_is_not_probed():
    server = FakeServer()
    with pytest.raises(TokenizeUnsupported):
        await TokenizeEndpoint(server, exists=False).count_text("x", "m")
    assert server.requests == []


async def test_a_conversation_is_counted_with_its_tools():
    server = FakeServer({"count": 2, "tokens": [1, 2]}, {"count": 30, "tokens": []})
    request = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [{"x": 1}], "top_p": 1}
    assert await TokenizeEndpoint(server).count_chat(json.dumps(request).encode(), "m") == 30
    path, body = server.requests[-1]
    assert path == "tokenize"
    assert body == {
        "model": "m",
        "messages": request["messages"],
        "tools": request["tools"],
        "add_generation_prompt": True,
    }
