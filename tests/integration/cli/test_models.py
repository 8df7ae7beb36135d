"""`clawdbot models …` as a person calls it, against a gateway alone and with a suite of its own."""

from __future__ import annotations

import pytest

from tests.support.commands import clawdbot
from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible, gateway

pytestmark = pytest.mark.integration


async def test_a_gateway_elsewhere_is_listed_tried_and_counted_with(tmp_path):
    async with fake_openai() as backend:
        backend.tokenizes = "vllm"
        async with gateway(tmp_path / "g", model=compatible(backend.url, api_key=KEY)) as served:
            at = ("--addr", f"127.0.0.1:{served.host.port}")
            listed = await clawdbot("models", "list", *at, state=tmp_path)
            tried = await clawdbot("models", "test", "chat", *at, state=tmp_path)
            strictly = await clawdbot("models", "test", "--strict", "chat", *at, state=tmp_path)
            counted = await clawdbot("models", "tokens", "-", *at, state=tmp_path, lines="one two three")
    assert (listed.code, tried.code, counted.code) == (0, 0, 0)
    assert strictly.code == 1
    assert strictly.out.splitlines()[1] == tried.out.splitlines()[1]
    assert "openai_compatible/fake-1" in listed.out
    assert backend.url in listed.out
    assert "8,192" in listed.out
    assert tried.out.splitlines()[0].startswith("✓ it answers: first token after ")
    assert tried.out.splitlines()[1] == "✗ it calls a tool: no call came (STOP)"
    assert tried.err == "chat is openai_compatible/fake-1.\n"
    assert counted.out == "3 tokens, counted by the backend (13 characters)\n"


async def test_a_model_that_does_not_answer_is_exit_code_one(tmp_path):
    model = {"provider": "openai_compatible", "endpoint": "http://127.0.0.1:1/v1", "name": "m"}
    async with gateway(tmp_path / "g", model=model) as served:
        at = ("--addr", f"127.0.0.1:{served.host.port}")
        tried = await clawdbot("models", "test", "chat", *at, state=tmp_path)
        unknown = await clawdbot("models", "test", "chta", *at, state=tmp_path)
    assert tried.code == 1
    assert tried.out.startswith("✗ it answers: openai_compatible/m: ")
    assert "BACKEND_UNREACHABLE" in tried.out
    assert (unknown.code, unknown.out) == (2, "")
    assert "Did you mean chat?" in unknown.err


async def test_without_a_running_suite_it_starts_its_own(tmp_path):
    (tmp_path / "clawdbot.yaml").write_text("model: {provider: echo}\nserver: {port: 1}\n")
    (tmp_path / "text").write_text("晚上好\n")
    ended = await clawdbot("models", "tokens", "text", state=tmp_path)
    assert ended.code == 0
    assert "estimated" in ended.out
    assert "starting one in this process" in ended.err


async def test_a_text_that_the_server_does_not_take_comes_with_the_key_to_change(tmp_path):
    (tmp_path / "huge").write_bytes(b"word " * 1_000_000)
    async with gateway(tmp_path / "g") as served:
        at = ("--addr", f"127.0.0.1:{served.host.port}")
        ended = await clawdbot("models", "tokens", "huge", *at, state=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "huge: this is more than the server takes at once; raise server.max_message.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list", "--addr", "127.0.0.1:1"), "Nobody listens at 127.0.0.1:1."),
        (("list", "--addr", "127.0.0.1:1", "--config", "x.yaml"), "give one of them"),
        (("tokens", "missing"), "missing: cannot be read"),
        (("tokens", "binary"), "binary: this is no text in UTF-8."),
    ],
)
async def test_what_can_be_mended_is_one_sentence(tmp_path, arguments, told):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    ended = await clawdbot("models", *arguments, state=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert "Traceback" not in ended.err
