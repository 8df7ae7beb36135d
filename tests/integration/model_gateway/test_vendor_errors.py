"""What a vendor says in an error reaches the caller, redacted, and no line of the log and no metric."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import CountTokensRequest, EmbedRequest

from tests.support.dialogue_client import talk
from tests.support.fake_anthropic import fake_anthropic
from tests.support.fake_gemini import fake_gemini
from tests.support.fake_ollama import fake_ollama
from tests.support.fake_openai import KEY, Answer, fake_openai, sse, text_chunks, whole
from tests.support.fake_responses import fake_responses
from tests.support.gateway_service import Client, gateway
from tests.support.generate_requests import asks
from tests.support.ports import free_port
from tests.support.processes import process

PHRASE = "my grandmother's recipe needs seven quinces"
VENDORS = {
    "openai_compatible": fake_openai,
    "openai": fake_responses,
    "anthropic": fake_anthropic,
    "gemini": fake_gemini,
    "ollama": fake_ollama,
}


def said(status: int, body: object = None, **headers: str) -> Answer:
    return whole({"error": {"message": PHRASE}} if body is None else body, status, **headers)


GEMINI = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": PHRASE}}
ANSWERS = {
    **{f"HTTP {status}": said(status) for status in (400, 401, 403, 404, 413, 422, 429, 500, 503, 529)},
    "a code of its own": said(400, {"error": {"code": PHRASE, "type": PHRASE, "message": "no"}}),
    "a list": said(400, [GEMINI]),
    "a status of Google": said(400, GEMINI),
    "an error that is a text": said(400, {"error": PHRASE}),
    "details": said(422, {"detail": [{"loc": ["body"], "msg": PHRASE, "input": PHRASE}]}),
    "JSON that is no object": said(400, PHRASE),
    "plain text": Answer([PHRASE.encode()], 400, content_type="text/plain"),
    "HTML": Answer([f"<title>{PHRASE}</title>".encode()], 502, content_type="text/html"),
    "HTML with success": Answer([f"<title>{PHRASE}</title>".encode()], content_type="text/html"),
    "text with success": Answer([PHRASE.encode()], content_type="application/json"),
    "an error in the stream": Answer(
        [sse({"error": {"message": PHRASE, "code": "context_length_exceeded"}})]
    ),
    "an error after text": Answer([sse(*text_chunks("Good", finish=None), {"error": {"message": PHRASE}})]),
    "a redirect": Answer([PHRASE.encode()], 302, {"location": f"https://example.com/{PHRASE}"}),
    "a header": Answer([b"{}"], 400, {"retry-after": PHRASE, "x-request-id": PHRASE}),
}


@pytest.mark.integration
@pytest.mark.parametrize("with_content", [False, True], ids=["by default", "with content"])
async def test_what_a_vendor_says_in_an_error_is_in_no_line_unless_asked_for(tmp_path, with_content):
    async with AsyncExitStack() as stack:
        backends = {name: await stack.enter_async_context(fake()) for name, fake in VENDORS.items()}
        models = {
            name: {
                "provider": name,
                "endpoint": each.url.removesuffix("/v1") if name == "ollama" else each.url,
                "models": ["fake-1"],
                **({} if name == "ollama" else {"api_key": KEY}),
            }
            for name, each in backends.items()
        }
        metrics_port = free_port()
        environment = {
            "CLAWDBOT_MODELS": json.dumps({"backends": models, "aliases": {"chat": "anthropic/fake-1"}}),
            "CLAWDBOT_TELEMETRY__LOG_LEVEL": "debug",
            "CLAWDBOT_TELEMETRY__METRICS_PORT": str(metrics_port),
            **({"CLAWDBOT_TELEMETRY__LOG_CONTENT": "true"} if with_content else {}),
        }
        suite = await stack.enter_async_context(
            process("clawdbot_cli", "up", state=tmp_path, environment=environment)
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(suite.address))
        client, failed = Client(channel), 0
        for name, backend in backends.items():
            request = asks(PHRASE, model=f"{name}/fake-1")
            for answer in ANSWERS.values():
                for rpc in ("generate", "stream"):
                    failed += await ends_with_an_error(client.run(request, rpc), backend, answer)
            count = client.gateway.CountTokens(CountTokensRequest(request=request))
            await ends_with_an_error(count, backend, said(400))
            embed = client.gateway.Embed(EmbedRequest(model=f"{name}/fake-1", texts=[PHRASE]))
            await ends_with_an_error(embed, backend, said(400))
        async with talk(suite.address, "chat") as chat:
            backends["anthropic"].answers.append(said(400))
            await chat.say(PHRASE)
        async with aiohttp.ClientSession() as session:
            metrics = await (await session.get(f"http://127.0.0.1:{metrics_port}/metrics")).text()
    assert failed > 2 * len(VENDORS) * (len(ANSWERS) - 3)
    text = suite.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    failures = [line for line in lines if line["event"] == "attempt_failed"]
    assert len(failures) >= failed
    assert any(line["detail"] == "HTTP 400" for line in failures)
    quotes = {line["quote"] for line in failures if "quote" in line}
    assert (PHRASE if with_content else f"({len(PHRASE)} characters)") in quotes
    assert ("quinces" in text) == with_content
    assert "rpc_server_call_duration_seconds" in metrics
    assert "quinces" not in metrics


async def ends_with_an_error(call: Awaitable[object], backend: Any, answer: Answer) -> bool:
    """Whether the call fails if the backend gives this answer; its status has no secret."""
    backend.answers.append(answer)
    try:
        await call
    except grpc.aio.AioRpcError as error:
        assert KEY not in error.details()  # noqa: PT017 - a few answers are no error for some vendors
        return True
    finally:
        backend.answers.clear()
    return False


async def test_the_caller_gets_what_the_vendor_says_without_secrets(tmp_path):
    async with fake_openai() as backend:
        model = {"provider": "openai_compatible", "endpoint": backend.url, "api_key": KEY}
        async with gateway(tmp_path, model=model) as served:
            backend.will(said(400, {"error": {"message": f"{PHRASE}, says ann@example.com with {KEY}"}}))
            error = await served.client.fault(asks(PHRASE))
    assert PHRASE in error.message
    assert "ann@example.com" not in error.message
    assert KEY not in error.message
