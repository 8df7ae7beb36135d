"""A self-hosted model server that comes, goes and changes while the gateway runs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_ESTIMATE,
    CountTokensRequest,
)
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendOverloaded,
    BackendTimeout,
    BackendUnreachable,
    ModelMissing,
    ProtocolViolation,
)
from clawdbot_model_gateway.providers import server_probe
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_servicekit.settings import load
from structlog.testing import capture_logs

from tests.support.fake_ollama import MODEL, error, fake_ollama
from tests.support.fake_openai import HANG, KEY, Answer, fake_openai
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, collect, text_of
from tests.support.ports import free_port
from tests.support.providers import make

METHODS = pytest.mark.parametrize("method", ["stream", "generate"])


@asynccontextmanager
async def self_hosted(endpoint, **more):
    provider = make(provider="self_hosted", endpoint=endpoint, **more)
    await provider.start()
    try:
        yield provider
    finally:
        await provider.stop()


async def run(provider, model, method="generate"):
    if method == "stream":
        return await collect(provider.stream(asks(), model))
    return await provider.generate(asks(), model)


def paths(backend):
    return [each.path for each in backend.asked]


@asynccontextmanager
async def other_server(**answers):
    """A server that answers these paths (with _ for /) with JSON or a status, and all others with 404."""

    async def handle(request):
        answer = answers.get(request.path.strip("/").replace("/", "_"), 404)
        if isinstance(answer, int):
            return web.json_response({"detail": "Not Found"}, status=answer)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# Configuration


def test_the_architectures_example_is_a_valid_configuration(tmp_path):
    path = tmp_path / "clawdbot.yaml"
    path.write_text(
        'model: {type: self_hosted, endpoint: "http://model-server:11434", api_key: "${MODEL_SERVER_KEY}"}'
    )
    settings = load(GatewaySettings, path, {"MODEL_SERVER_KEY": KEY})
    provider = make(**settings.model.model_dump(exclude_unset=True))
    assert provider.endpoint == "http://model-server:11434"


@pytest.mark.parametrize(
    ("endpoint", "root"),
    [
        ("http://model-server", "http://model-server:11434"),
        ("http://model-server/v1", "http://model-server:11434"),
        ("http://model-server:8000/v1/", "http://model-server:8000"),
        ("http://model-server:80", "http://model-server"),
        ("https://model-server/models/v1", "https://model-server/models"),
        (None, "http://127.0.0.1:11434"),
    ],
)
def test_the_default_port_is_ollamas(endpoint, root):
    assert make(provider="self_hosted", endpoint=endpoint).endpoint == root


# Probing


@pytest.mark.parametrize("spelling", ["", "/", "/v1", "/v1/", "/api"])
async def test_ollama_is_spoken_to_in_its_own_protocol_however_the_endpoint_ends(spelling):
    async with fake_ollama() as backend, self_hosted(f"{backend.root}{spelling}") as provider:
        assert [each.context_length for each in await provider.list_models()] == [40_960]
        assert text_of(await run(provider, MODEL)) == "Good evening."
        assert paths(backend)[-1] == "/api/chat"
        assert provider.endpoint == backend.root


@pytest.mark.parametrize("spelling", ["", "/v1"])
async def test_any_other_server_is_spoken_to_in_chat_completions(spelling):
    async with fake_openai() as backend:
        root = backend.url.removesuffix("/v1")
        async with self_hosted(f"{root}{spelling}", api_key=KEY) as provider:
            assert [each.name for each in await provider.list_models()] == ["fake-1"]
            assert text_of(await run(provider, "fake-1")) == "Good evening."
            assert paths(backend)[-1] == "/v1/chat/completions"
            assert provider.endpoint == backend.url


MODELS = {"data": [{"id": "qwen3", "max_model_len": 4096}]}


@pytest.mark.parametrize(
    "answers",
    [
        {"api_tags": {"models": [{"name": "qwen3"}]}},  # llama.cpp's server
        {"api_version": {"version": "0.6.5"}, "api_tags": 401},  # Open WebUI
        {"api_version": 401, "api_tags": 401},
        {"api_version": 405},
        {"api_version": {"version": 3}},
        {"api_version": "hello"},
    ],
)
async def test_a_server_that_resembles_ollama_is_not_taken_for_it(answers):
    async with other_server(v1_models=MODELS, **answers) as endpoint, self_hosted(endpoint) as provider:
        (model,) = await provider.list_models()
        assert (model.name, model.context_length) == ("qwen3", 4096)
        assert provider.endpoint == f"{endpoint}/v1"


async def test_a_server_of_another_kind_is_a_protocol_violation():
    async with other_server() as endpoint, self_hosted(endpoint) as provider:
        with pytest.raises(ProtocolViolation, match="is not Ollama and does not speak Chat Completions"):
            await run(provider, "m")


async def test_a_refused_key_is_an_auth_error():
    async with fake_ollama() as backend, other_server(api_version=401, v1_models=401) as endpoint:
        backend.key = KEY
        async with self_hosted(endpoint, api_key="wrong-key-0123") as provider:
            with pytest.raises(BackendAuth):
                await run(provider, "m")
        async with self_hosted(backend.root, api_key=KEY) as provider:
            assert text_of(await run(provider, MODEL)) == "Good evening."
            assert backend.asked[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_a_server_that_is_still_loading_is_not_taken_for_another():
    async with other_server(api_version=503, v1_models=MODELS) as endpoint, self_hosted(endpoint) as provider:
        with pytest.raises(BackendOverloaded):
            await run(provider, "m")


async def test_a_probe_has_a_timeout(monkeypatch):
    monkeypatch.setattr(server_probe, "PROBE_TIMEOUT", 0.05)
    async with fake_ollama() as backend, self_hosted(backend.root) as provider:
        backend.version = Answer((HANG,), status=0)
        with pytest.raises(BackendTimeout, match=r"did not say within 0\.05 s what it is"):
            await run(provider, MODEL)


# Concurrent callers


async def test_concurrent_requests_share_one_probe():
    async with fake_ollama() as backend, self_hosted(backend.root) as provider:
        methods = ("stream", "generate") * 10
        replies = await asyncio.gather(*(run(provider, MODEL, method) for method in methods))
        assert {text_of(each) for each in replies} == {"Good evening."}
        assert paths(backend).count("/api/version") == 1


async def test_a_cancelled_caller_does_not_cancel_the_probe_for_the_others():
    async with fake_ollama() as backend, self_hosted(backend.root) as provider:
        first, second = (asyncio.create_task(run(provider, MODEL)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert text_of(await second) == "Good evening."
        with pytest.raises(asyncio.CancelledError):
            await first
        assert paths(backend).count("/api/version") == 1


async def test_a_probe_without_waiting_callers_is_cancelled_and_the_next_caller_probes_again():
    async with fake_ollama() as backend, self_hosted(backend.root) as provider:
        backend.version = Answer((HANG,), status=0)
        caller = asyncio.create_task(run(provider, MODEL))
        await backend.busy.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        async with asyncio.timeout(20):
            await backend.gone.wait()
        backend.version = {"version": "0.17.4"}
        assert text_of(await run(provider, MODEL)) == "Good evening."


async def test_each_caller_gets_its_own_error():
    async with self_hosted(f"http://127.0.0.1:{free_port()}") as provider:
        errors = await asyncio.gather(*(run(provider, "m") for _ in range(3)), return_exceptions=True)
    assert {type(each) for each in errors} == {BackendUnreachable}
    assert len({id(each) for each in errors}) == 3
    assert {each.retry_after for each in errors} == {1.0}


# Servers that come and go


@METHODS
async def test_a_server_that_is_down_at_the_start_is_probed_later(tmp_path, method):
    port = free_port()
    model = {"type": "self_hosted", "endpoint": f"http://127.0.0.1:{port}"}
    async with gateway(tmp_path, model=model) as served:
        unreachable = await served.client.fault(asks(), method)
        assert (unreachable.code, unreachable.reason) == ("UNAVAILABLE", "BACKEND_UNREACHABLE")
        async with fake_ollama(port):
            reply = await served.client.gateway.Generate(asks())
            assert (reply.message.parts[0].text, reply.model) == ("Good evening.", MODEL)


@METHODS
async def test_a_server_may_come_back_as_another_kind_without_losing_a_request(method):
    port = free_port()
    async with self_hosted(f"http://127.0.0.1:{port}", api_key=KEY) as provider:
        async with fake_ollama(port):
            assert text_of(await run(provider, MODEL, method)) == "Good evening."
        async with fake_openai(port=port) as backend:
            assert text_of(await run(provider, "fake-1", method)) == "Good evening."
            assert paths(backend)[-1] == "/v1/chat/completions"
        async with fake_ollama(port) as backend:
            backend.will(error(404, "model 'fake-1' not found"))  # from its Chat Completions
            assert text_of(await run(provider, MODEL, method)) == "Good evening."
            assert paths(backend)[-1] == "/api/chat"


async def test_the_servers_kind_is_logged_once_for_each_change():
    port = free_port()
    with capture_logs() as logs:
        async with self_hosted(f"http://127.0.0.1:{port}", api_key=KEY) as provider:
            async with fake_ollama(port):
                for _ in range(2):
                    await provider.list_models()
            async with fake_openai(port=port):
                await provider.list_models()
    assert [each["provider"] for each in logs if each["event"] == "server_recognised"] == [
        "ollama",
        "openai_compatible",
    ]


async def test_a_server_that_was_down_is_probed_again():
    port = free_port()
    async with self_hosted(f"http://127.0.0.1:{port}", api_key=KEY) as provider:
        async with fake_ollama(port):
            await run(provider, MODEL)
        with pytest.raises(BackendUnreachable):
            await run(provider, MODEL)
        async with fake_openai(port=port) as backend:
            await run(provider, "fake-1")
            assert paths(backend)[0] == "/v1/models"


@METHODS
async def test_a_missing_model_on_an_unchanged_server_is_an_error(method):
    async with fake_ollama() as backend, self_hosted(backend.root) as provider:
        with pytest.raises(ModelMissing, match="ollama pull qwen9"):
            await run(provider, "qwen9", method)
        assert paths(backend).count("/api/chat") == 1


# Embeddings, token counts and settings


async def test_either_kind_of_server_embeds():
    async with fake_ollama() as backend, self_hosted(backend.root) as provider:
        embedded = await provider.embed(["one", "three"], MODEL, None)
        assert embedded.vectors == [[3.0, 1.0, 0.0], [5.0, 1.0, 0.0]]
    async with fake_openai() as backend, self_hosted(backend.url, api_key=KEY) as provider:
        assert len((await provider.embed(["one", "three"], "fake-1", None)).vectors) == 2


async def test_tokens_are_counted_by_a_server_that_can():
    async with fake_openai() as backend, self_hosted(backend.url, api_key=KEY) as provider:
        backend.tokenizes = "vllm"
        assert await provider.count_text("one two three", "fake-1") == 3
        assert await provider.count_tokens(asks("one two three"), "fake-1") >= 3


async def test_tokens_are_estimated_if_the_server_cannot_count(tmp_path):
    async with (
        fake_ollama() as backend,
        gateway(tmp_path, model={"type": "self_hosted", "endpoint": backend.root}) as served,
    ):
        before = paths(backend).count("/api/version")
        for request in (CountTokensRequest(text="one two"), CountTokensRequest(request=asks("one two"))):
            counted = await served.client.gateway.CountTokens(request)
            assert counted.source == TOKEN_COUNT_SOURCE_ESTIMATE
            assert counted.tokens > 0
        assert paths(backend).count("/api/version") == before


async def test_settings_of_either_kind_apply_to_that_kind_of_server():
    settings = {"num_ctx": 8192, "max_tokens_field": "max_completion_tokens", "max_tokens": 9}
    async with fake_ollama() as backend, self_hosted(backend.root, **settings) as provider:
        await run(provider, MODEL)
        assert backend.last["options"] == {"num_ctx": 8192, "num_predict": 9}
    async with fake_openai() as backend, self_hosted(backend.url, api_key=KEY, **settings) as provider:
        await run(provider, "fake-1")
        assert backend.last["max_completion_tokens"] == 9
        assert "num_ctx" not in backend.last
