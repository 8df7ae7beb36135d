"""The gateway in front of Ollama on a real socket: requests, models, errors, timeouts and cancellation."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import REASONING_EFFORT_HIGH
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ContextTooLong,
    ModelMissing,
    ProtocolViolation,
    QuotaExhausted,
    RequestRefused,
)
from clawdbot_model_gateway.core.provider import Embedder, TokenCounter
from clawdbot_model_gateway.formats import ndjson as lines
from clawdbot_model_gateway.providers import ollama
from clawdbot_servicekit.errors import StartupError

from tests.support.fake_ollama import MODEL, call, error, fake_ollama, last, line, ndjson, shown, streamed
from tests.support.fake_openai import CUT, HANG, HOLD, Answer, whole
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, check_grammar, collect, finish_of, kinds, text_of, tool
from tests.support.providers import make

METHODS = pytest.mark.parametrize("method", ["stream", "generate"])
KEY = "ollama-0123456789abcdef"


@pytest.fixture
async def backend():
    async with fake_ollama() as fake:
        yield fake


@asynccontextmanager
async def provider_of(backend, **settings):
    provider = make(provider="ollama", endpoint=backend.root, **settings)
    await provider.start()
    try:
        yield provider
    finally:
        await provider.stop()


@pytest.fixture
async def provider(backend):
    async with provider_of(backend) as each:
        yield each


async def run(provider, request, method="generate", model=MODEL):
    if method == "stream":
        return await collect(provider.stream(request, model))
    return await provider.generate(request, model)


# Through the gateway


async def test_it_answers_through_the_gateway(backend, tmp_path):
    async with gateway(tmp_path, model={"provider": "ollama", "endpoint": backend.root}) as served:
        events = await served.client.events(asks())
        check_grammar(events)
        reply = await served.client.gateway.Generate(asks())
        assert (text_of(events), reply.message.parts[0].text) == ("Good evening.", "Good evening.")
        assert (reply.backend, reply.model) == ("ollama", MODEL)
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 3)
        assert len(backend.connections) == 1


@METHODS
@pytest.mark.parametrize("together", [False, True])
async def test_it_reads_replies_that_servers_format_in_their_own_way(backend, tmp_path, method, together):
    lines = [line({"content": "Good {"}), line({"content": '" evening.'}), last()]
    bodies = [lines] if together else lines
    body = ("\ufeff" + "\n".join(json.dumps(each, indent=2) for each in bodies)).encode()
    async with gateway(tmp_path, model={"provider": "ollama", "endpoint": backend.root}) as served:
        backend.will(Answer([body[:2], body[2:9], body[9:]], content_type="application/json"))
        result = await served.client.run(asks(), method)
    reply = result if method == "generate" else accumulate(result)
    assert reply.message.parts[0].text == 'Good {" evening.'
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 3)


async def test_it_embeds_through_the_gateway(backend, tmp_path):
    async with gateway(tmp_path, model={"provider": "ollama", "endpoint": backend.root}) as served:
        reply = await served.client.gateway.Embed(EmbedRequest(texts=["one", "three"]))
    assert [list(each.values) for each in reply.embeddings] == [[3.0, 1.0, 0.0], [5.0, 1.0, 0.0]]
    assert (reply.backend, reply.model, reply.usage.input_tokens) == ("ollama", MODEL, 5)


@METHODS
async def test_a_missing_model_is_an_error_that_says_how_to_get_it(backend, tmp_path, method):
    model = {"provider": "ollama", "endpoint": backend.root, "name": "qwen9"}
    async with gateway(tmp_path, model=model) as served:
        error = await served.client.fault(asks(), method)
    assert (error.code, error.reason) == ("NOT_FOUND", "BACKEND_MODEL_MISSING")
    assert "model 'qwen9' not found (on its host, run: ollama pull qwen9)" in error.message


# Models


async def test_models_are_listed_with_their_context_and_those_that_chat_first(backend, provider, monkeypatch):
    monkeypatch.setattr("clawdbot_model_gateway.providers.ollama.SHOW_TIMEOUT", 20.0)
    backend.shown = {
        "nomic-embed-text:latest": shown(2048, ("embedding",), "nomic-bert"),
        "qwen3:8b": shown(40_960),
        "gone:latest": None,
    }
    listed = await provider.list_models()
    assert [(each.name, each.context_length) for each in listed] == [
        ("qwen3:8b", 40_960),
        ("gone:latest", 0),
        ("nomic-embed-text:latest", 2048),
    ]


async def test_a_configured_name_without_a_tag_is_listed_without_one(backend):
    async with provider_of(backend, name="fake") as provider:
        assert [(each.name, each.context_length) for each in await provider.list_models()] == [
            ("fake", 40_960)
        ]


async def test_a_models_profile_is_loaded_once_until_it_changes(backend, provider):
    await provider.list_models()
    await provider.list_models()
    assert backend.requests("/api/show") == [{"model": MODEL}]
    backend.digests[MODEL] = "pulled anew"
    backend.shown[MODEL] = shown(8192)
    assert [each.context_length for each in await provider.list_models()] == [8192]


async def test_a_list_does_not_wait_for_slow_profiles(backend, provider, monkeypatch):
    monkeypatch.setattr(ollama, "SHOW_TIMEOUT", 0.05)
    backend.shown = {"slow:latest": Answer((HANG,), status=0), MODEL: shown()}
    listed = await provider.list_models()
    assert [(each.name, each.context_length) for each in listed] == [("slow:latest", 0), (MODEL, 40_960)]


async def test_num_ctx_limits_the_listed_context_length_and_is_sent(backend):
    async with provider_of(backend, num_ctx=8192) as provider:
        assert [each.context_length for each in await provider.list_models()] == [8192]
        await run(provider, asks())
        assert backend.last["options"] == {"num_ctx": 8192}


async def test_thinking_is_asked_only_of_a_model_that_can_think(backend, provider):
    request = asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH})
    events = await run(provider, request)
    assert [each.field for each in events[0].started.warnings] == ["sampling.reasoning_effort"]
    backend.shown["gpt-oss:20b"] = shown(capabilities=("completion", "thinking"), family="gptoss")
    for _ in range(2):
        await run(provider, request, model="gpt-oss:20b")
        assert backend.last["think"] == "high"
    assert backend.requests("/api/show") == [{"model": MODEL}, {"model": "gpt-oss:20b"}]
    with pytest.raises(ModelMissing, match="ollama pull nowhere"):
        await run(provider, request, model="nowhere")


# Requests


async def test_a_conversation_that_is_too_long_is_refused_unless_overflow_is_forget(backend):
    async with provider_of(backend) as provider:
        await run(provider, asks())
        assert (backend.last["truncate"], backend.last["shift"]) == (False, False)
        backend.will(error(400, "the input length exceeds the context length"))
        with pytest.raises(ContextTooLong):
            await run(provider, asks())
    async with provider_of(backend, overflow="forget") as provider:
        await run(provider, asks())
        assert (backend.last["truncate"], backend.last["shift"]) == (True, True)


@pytest.mark.parametrize(("configured", "sent"), [("10m", "10m"), ("-1", -1), (0, 0), ("300", 300)])
async def test_keep_alive_is_sent_in_the_form_that_ollama_takes(backend, configured, sent):
    async with provider_of(backend, keep_alive=configured) as provider:
        await run(provider, asks())
        assert backend.last["keep_alive"] == sent


def test_a_misspelt_key_of_the_configuration_is_a_startup_error():
    with pytest.raises(StartupError, match=r"did you mean keep_alive\?"):
        make(provider="ollama", keep_alve="10m")


async def test_a_proxys_key_is_sent_and_never_shown(backend):
    backend.key = KEY
    async with provider_of(backend, api_key=KEY) as provider:
        assert text_of(await run(provider, asks())) == "Good evening."
        assert KEY not in json.dumps(backend.last) + provider.endpoint
    async with provider_of(backend, api_key="wrong-0123456789") as provider:
        with pytest.raises(BackendAuth) as refused:
            await run(provider, asks())
        assert "wrong-0123456789" not in str(refused.value)


async def test_texts_become_vectors(backend, provider):
    found = await provider.embed(["one", "three"], MODEL, 2)
    assert found.vectors == [[3.0, 1.0], [5.0, 1.0]]
    assert (found.model, found.usage.input_tokens) == (MODEL, 5)
    assert backend.last == {"model": MODEL, "input": ["one", "three"], "truncate": False, "dimensions": 2}
    with pytest.raises(ModelMissing, match="ollama pull nomic"):
        await provider.embed(["one"], "nomic", None)
    assert isinstance(provider, Embedder)
    assert not isinstance(provider, TokenCounter)


# Errors


@METHODS
@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (error(404, "model 'x' not found"), ModelMissing),
        (error(400, "registry.ollama.ai/library/x:latest does not support tools"), RequestRefused),
        (error(401, "unauthorized"), BackendAuth),
        (error(402, "no credits"), QuotaExhausted),
        (error(500, "model requires more system memory (40 GiB) than is available (8 GiB)"), BackendFailed),
        (
            error(503, "server busy, please try again.  maximum pending requests exceeded"),
            BackendOverloaded,
        ),
        (Answer([b"404 page not found"], 404, content_type="text/plain"), ProtocolViolation),
        (Answer([b"<html><title>Router</title>"], content_type="text/html"), ProtocolViolation),
        (Answer([b"data: {}\n\n"], content_type="text/event-stream"), ProtocolViolation),
        (whole({"status": "ok"}), ProtocolViolation),
        (streamed(), ProtocolViolation),
        (streamed(ndjson(line()), CUT), BackendFailed),
        (streamed(ndjson(last(""))), BackendFailed),
    ],
)
async def test_each_error_has_its_class(backend, provider, answer, error_class, method):
    backend.will(answer)
    with pytest.raises(error_class):
        await run(provider, asks(), method)
    assert text_of(await run(provider, asks(), method)) == "Good evening."


async def test_the_error_for_an_html_page_shows_its_title(backend, provider):
    backend.will(Answer([b"<html><title>Router login</title>"], content_type="text/html; charset=utf-8"))
    with pytest.raises(ProtocolViolation, match="Router login"):
        await run(provider, asks())


async def test_a_line_that_is_too_long_is_an_error(backend, provider, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 10_000)
    backend.will(streamed(ndjson(line({"content": "Good"})), *[b"x" * 1000] * 50, HANG))
    with pytest.raises(ProtocolViolation, match="a line of the stream is longer than 10000 bytes"):
        await run(provider, asks())


async def test_single_bytes_give_the_same_reply(backend, provider):
    reply = ndjson(line({"thinking": "你好"}), line({"content": "Grüß"}), last(), newline="\r\n")
    pieces = [reply[index : index + 1] for index in range(len(reply))]
    backend.will(streamed(*pieces), streamed(reply))
    assert text_of(await run(provider, asks(), "stream")) == text_of(await run(provider, asks())) == "Grüß"


async def test_a_hundred_kilobytes_of_arguments_arrive_complete(backend, provider):
    backend.will(streamed(ndjson(line(call("write", {"text": "x" * 100_000})), last())))
    events = await run(provider, asks(tools=[tool("write")]), "stream")
    assert finish_of(events) == "tool_calls"
    (done,) = [each.tool_call_done for each in events if each.WhichOneof("event") == "tool_call_done"]
    assert len(done.tool_call.arguments["text"]) == 100_000


# Timeouts and cancellation


async def test_a_request_waits_while_the_model_loads(backend, provider):
    backend.loading = asyncio.Event()
    reply = asyncio.create_task(run(provider, asks()))
    await backend.busy.wait()
    assert not reply.done()
    backend.loading.set()
    assert text_of(await reply) == "Good evening."


def test_the_default_timeouts_are_long_and_can_be_configured():
    defaults = make(provider="ollama")._pool._settings
    assert (defaults.read_timeout, defaults.idle_timeout, defaults.connect_timeout) == (600, 300, 10)
    configured = make(provider="ollama", http={"read_timeout": "5s"})._pool._settings
    assert (configured.read_timeout, configured.idle_timeout) == (5, 300)


@METHODS
async def test_silence_is_a_timeout(backend, method):
    async with provider_of(backend, http={"read_timeout": 0.05, "idle_timeout": 0.05}) as provider:
        for answer in (HOLD, streamed(ndjson(line({"content": "Good"})), HANG)):
            backend.will(answer)
            with pytest.raises(BackendTimeout):
                await run(provider, asks(), method)


@pytest.mark.parametrize("answer", [HOLD, streamed(ndjson(line({"content": "Good"})), HANG)])
@METHODS
async def test_cancelling_a_call_closes_its_connection(backend, provider, answer, method):
    backend.will(answer)
    task = asyncio.create_task(run(provider, asks(), method))
    await backend.busy.wait()
    task.cancel()
    async with asyncio.timeout(20):
        await backend.gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert text_of(await run(provider, asks(), method)) == "Good evening."


async def test_closing_a_stream_closes_its_connection(backend, provider):
    backend.will(streamed(ndjson(line({"content": "Good"})), HANG))
    async with aclosing(provider.stream(asks(), MODEL)) as events:
        seen = [await anext(events), await anext(events)]
    assert kinds(seen) == ["started", "text_delta"]
    async with asyncio.timeout(20):
        await backend.gone.wait()
