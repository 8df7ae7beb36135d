"""The gateway in front of Ollama, on a real socket: what is asked, what is told, and what is let go."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import REASONING_EFFORT_HIGH
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedRequest
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

from tests.support.fake_ollama import MODEL, call, fake_ollama, last, line, ndjson, refusal, shown, streamed
from tests.support.fake_openai import CUT, HANG, HOLD, Answer, whole
from tests.support.gateway_service import gateway
from tests.support.generating import asks, check_grammar, collect, finish_of, kinds, text_of, tool
from tests.support.providing import make

WAYS = pytest.mark.parametrize("way", ["stream", "generate"])
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


async def run(provider, request, way="generate", model=MODEL):
    if way == "stream":
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


async def test_it_embeds_through_the_gateway(backend, tmp_path):
    async with gateway(tmp_path, model={"provider": "ollama", "endpoint": backend.root}) as served:
        reply = await served.client.gateway.Embed(EmbedRequest(texts=["one", "three"]))
    assert [list(each.values) for each in reply.embeddings] == [[3.0, 1.0, 0.0], [5.0, 1.0, 0.0]]
    assert (reply.backend, reply.model, reply.usage.input_tokens) == ("ollama", MODEL, 5)


@WAYS
async def test_a_missing_model_says_what_to_run(backend, tmp_path, way):
    model = {"provider": "ollama", "endpoint": backend.root, "name": "qwen9"}
    async with gateway(tmp_path, model=model) as served:
        fault = await served.client.fault(asks(), way)
    assert (fault.code, fault.reason) == ("NOT_FOUND", "BACKEND_MODEL_MISSING")
    assert "model 'qwen9' not found (where it runs: ollama pull qwen9)" in fault.message


# Models


async def test_models_are_listed_with_their_context_and_those_that_chat_first(backend, provider):
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


async def test_a_name_without_a_tag_is_listed_as_the_configuration_writes_it(backend):
    async with provider_of(backend, name="fake") as provider:
        assert [(each.name, each.context_length) for each in await provider.list_models()] == [
            ("fake", 40_960)
        ]


async def test_a_model_is_looked_at_once_until_it_changes(backend, provider):
    await provider.list_models()
    await provider.list_models()
    assert backend.requests("/api/show") == [{"model": MODEL}]
    backend.digests[MODEL] = "pulled anew"
    backend.shown[MODEL] = shown(8192)
    assert [each.context_length for each in await provider.list_models()] == [8192]


async def test_a_list_does_not_wait_for_models_that_cannot_be_looked_at(backend, provider, monkeypatch):
    monkeypatch.setattr(ollama, "SHOW_FOR", 0.05)
    backend.shown = {"slow:latest": Answer((HANG,), status=0), MODEL: shown()}
    listed = await provider.list_models()
    assert [(each.name, each.context_length) for each in listed] == [("slow:latest", 0), (MODEL, 40_960)]


async def test_the_context_that_is_asked_for_bounds_the_models(backend):
    async with provider_of(backend, num_ctx=8192) as provider:
        assert [each.context_length for each in await provider.list_models()] == [8192]
        await run(provider, asks())
        assert backend.last["options"] == {"num_ctx": 8192}


async def test_thinking_is_asked_of_a_model_that_can(backend, provider):
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


# What is asked


async def test_a_conversation_that_does_not_fit_is_refused_unless_it_may_be_forgotten(backend):
    async with provider_of(backend) as provider:
        await run(provider, asks())
        assert (backend.last["truncate"], backend.last["shift"]) == (False, False)
        backend.will(refusal(400, "the input length exceeds the context length"))
        with pytest.raises(ContextTooLong):
            await run(provider, asks())
    async with provider_of(backend, overflow="forget") as provider:
        await run(provider, asks())
        assert (backend.last["truncate"], backend.last["shift"]) == (True, True)


@pytest.mark.parametrize(("said", "sent"), [("10m", "10m"), ("-1", -1), (0, 0), ("300", 300)])
async def test_how_long_a_model_stays_is_sent_as_ollama_reads_it(backend, said, sent):
    async with provider_of(backend, keep_alive=said) as provider:
        await run(provider, asks())
        assert backend.last["keep_alive"] == sent


def test_a_wrong_key_of_the_configuration_is_told():
    with pytest.raises(StartupError, match=r"did you mean keep_alive\?"):
        make(provider="ollama", keep_alve="10m")


async def test_a_proxys_key_is_sent_and_told_to_nobody(backend):
    backend.key = KEY
    async with provider_of(backend, api_key=KEY) as provider:
        assert text_of(await run(provider, asks())) == "Good evening."
        assert KEY not in json.dumps(backend.last) + provider.endpoint
    async with provider_of(backend, api_key="wrong-0123456789") as provider:
        with pytest.raises(BackendAuth) as refused:
            await run(provider, asks())
        assert "wrong-0123456789" not in str(refused.value)


async def test_texts_become_vectors(backend, provider):
    told = await provider.embed(["one", "three"], MODEL, 2)
    assert told.vectors == [[3.0, 1.0], [5.0, 1.0]]
    assert (told.model, told.usage.input_tokens) == (MODEL, 5)
    assert backend.last == {"model": MODEL, "input": ["one", "three"], "truncate": False, "dimensions": 2}
    with pytest.raises(ModelMissing, match="ollama pull nomic"):
        await provider.embed(["one"], "nomic", None)
    assert isinstance(provider, Embedder)
    assert not isinstance(provider, TokenCounter)


# What goes wrong


@WAYS
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(404, "model 'x' not found"), ModelMissing),
        (refusal(400, "registry.ollama.ai/library/x:latest does not support tools"), RequestRefused),
        (refusal(401, "unauthorized"), BackendAuth),
        (refusal(402, "no credits"), QuotaExhausted),
        (refusal(500, "model requires more system memory (40 GiB) than is available (8 GiB)"), BackendFailed),
        (
            refusal(503, "server busy, please try again.  maximum pending requests exceeded"),
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
async def test_each_failure_is_of_its_kind(backend, provider, answer, kind, way):
    backend.will(answer)
    with pytest.raises(kind):
        await run(provider, asks(), way)
    assert text_of(await run(provider, asks(), way)) == "Good evening."


async def test_an_html_page_is_told_by_its_title(backend, provider):
    backend.will(Answer([b"<html><title>Router login</title>"], content_type="text/html; charset=utf-8"))
    with pytest.raises(ProtocolViolation, match="Router login"):
        await run(provider, asks())


async def test_a_line_that_never_ends_is_given_up(backend, provider, monkeypatch):
    monkeypatch.setattr(lines, "LARGEST", 10_000)
    backend.will(streamed(ndjson(line({"content": "Good"})), *[b"x" * 1000] * 50, HANG))
    with pytest.raises(ProtocolViolation, match="a line of more than 10000 bytes"):
        await run(provider, asks())


async def test_a_reply_is_the_same_however_it_arrives(backend, provider):
    reply = ndjson(line({"thinking": "你好"}), line({"content": "Grüß"}), last(), newline="\r\n")
    pieces = [reply[place : place + 1] for place in range(len(reply))]
    backend.will(streamed(*pieces), streamed(reply))
    assert text_of(await run(provider, asks(), "stream")) == text_of(await run(provider, asks())) == "Grüß"


async def test_large_arguments_arrive_whole(backend, provider):
    backend.will(streamed(ndjson(line(call("write", {"text": "x" * 100_000})), last())))
    events = await run(provider, asks(tools=[tool("write")]), "stream")
    assert finish_of(events) == "tool_calls"
    (done,) = [each.tool_call_done for each in events if each.WhichOneof("event") == "tool_call_done"]
    assert len(done.tool_call.arguments["text"]) == 100_000


# Waiting, and leaving


async def test_a_model_that_loads_slowly_is_waited_for(backend, provider):
    backend.loading = asyncio.Event()
    reply = asyncio.create_task(run(provider, asks()))
    await backend.busy.wait()
    assert not reply.done()
    backend.loading.set()
    assert text_of(await reply) == "Good evening."


def test_the_usual_patience_is_longer_than_elsewhere_and_what_is_said_holds():
    patient = make(provider="ollama")._pool._settings
    assert (patient.read_timeout, patient.idle_timeout, patient.connect_timeout) == (600, 300, 10)
    said = make(provider="ollama", http={"read_timeout": "5s"})._pool._settings
    assert (said.read_timeout, said.idle_timeout) == (5, 300)


@WAYS
async def test_silence_is_a_timeout_and_never_a_reply(backend, way):
    async with provider_of(backend, http={"read_timeout": 0.05, "idle_timeout": 0.05}) as provider:
        for answer in (HOLD, streamed(ndjson(line({"content": "Good"})), HANG)):
            backend.will(answer)
            with pytest.raises(BackendTimeout):
                await run(provider, asks(), way)


@pytest.mark.parametrize("moment", [HOLD, streamed(ndjson(line({"content": "Good"})), HANG)])
@WAYS
async def test_a_call_that_is_cancelled_ends_at_ollama_too(backend, provider, moment, way):
    backend.will(moment)
    task = asyncio.create_task(run(provider, asks(), way))
    await backend.busy.wait()
    task.cancel()
    async with asyncio.timeout(5):
        await backend.gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert text_of(await run(provider, asks(), way)) == "Good evening."


async def test_a_stream_that_is_left_ends_at_ollama_too(backend, provider):
    backend.will(streamed(ndjson(line({"content": "Good"})), HANG))
    async with aclosing(provider.stream(asks(), MODEL)) as events:
        seen = [await anext(events), await anext(events)]
    assert kinds(seen) == ["started", "text_delta"]
    async with asyncio.timeout(5):
        await backend.gone.wait()
