"""What servers answer to /tokenize is read without making numbers of it, and what they are is asked once."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import BackendUnreachable, ModelMissing, ProtocolViolation
from clawdbot_model_gateway.formats.chat.token_counts import CountsNothing, TokenEndpoint, counted
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 200_000)), st.booleans(), st.booleans())
def test_a_count_is_the_number_of_tokens(tokens, told, spaced):
    answer = {**({"count": len(tokens), "max_model_len": 1} if told else {}), "tokens": tokens}
    body = json.dumps(answer, separators=None if spaced else (",", ":")).encode()
    assert counted(body) == len(tokens)


@given(st.binary(max_size=60))
def test_what_is_no_count_is_a_failure(body):
    if b'"count"' not in body and b'"tokens"' not in body:
        with pytest.raises(ProtocolViolation):
            counted(body)


def test_a_million_tokens_are_read_at_once():
    body = b'{"tokens":[' + b",".join([b"151643"] * 1_000_000) + b"]}"
    assert counted(body) == 1_000_000


class Server:
    """Answers each question with what its table says, or fails with it."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict]] = []

    async def __call__(self, path: str, body: bytes) -> bytes:
        self.asked.append((path, json.loads(body)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()


async def test_a_server_without_it_is_asked_once():
    server = Server(ModelMissing("404"), ModelMissing("404"))
    endpoint = TokenEndpoint(server)
    for _ in range(3):
        with pytest.raises(CountsNothing):
            await endpoint.text("x", "m")
    assert len(server.asked) == 2


async def test_a_server_that_is_away_is_asked_again():
    server = Server(BackendUnreachable("away"), {"count": 2, "tokens": [1, 2]}, {"count": 5, "tokens": []})
    endpoint = TokenEndpoint(server)
    with pytest.raises(BackendUnreachable):
        await endpoint.text("x", "m")
    assert await endpoint.text("x", "m") == 5


async def test_a_vendor_that_is_known_to_have_none_is_not_asked_at_all():
    server = Server()
    with pytest.raises(CountsNothing):
        await TokenEndpoint(server, there=False).text("x", "m")
    assert server.asked == []


async def test_a_conversation_is_counted_with_its_tools():
    server = Server({"count": 2, "tokens": [1, 2]}, {"count": 30, "tokens": []})
    request = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [{"x": 1}], "top_p": 1}
    assert await TokenEndpoint(server).chat(json.dumps(request).encode(), "m") == 30
    path, body = server.asked[-1]
    assert path == "tokenize"
    assert body == {
        "model": "m",
        "messages": request["messages"],
        "tools": request["tools"],
        "add_generation_prompt": True,
    }
