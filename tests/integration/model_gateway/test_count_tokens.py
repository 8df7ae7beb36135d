"""CountTokens over a real port: its source, its error bound, and that it does not block other calls."""

from __future__ import annotations

import asyncio
import time

import grpc.aio
import pytest
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    TOKEN_COUNT_SOURCE_ESTIMATE,
    TOKEN_COUNT_SOURCE_LOCAL,
    CountTokensRequest,
)
from clawdbot_model_gateway.tokenizer_files import load_tokenizer
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import StartupError

from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, tool
from tests.support.scripts import SAMPLES
from tests.support.vocabularies import qwen_vocabulary, train_tokenizer


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


def of(text: str, **fields) -> CountTokensRequest:
    return CountTokensRequest(text=text, **fields)


@pytest.mark.parametrize("channel", ["client", "inside"])
async def test_without_a_configuration_the_count_is_an_estimate_with_a_bound(tmp_path, channel):
    exact = load_tokenizer(qwen_vocabulary(), "here").count(SAMPLES["chinese"]).tokens
    async with gateway(tmp_path) as served:
        response = await getattr(served, channel).gateway.CountTokens(of(SAMPLES["chinese"]))
    assert response.source == TOKEN_COUNT_SOURCE_ESTIMATE
    assert abs(exact - response.tokens) <= response.error_bound * response.tokens
    assert 0 < response.error_bound < 0.5


async def test_an_empty_text_has_no_tokens(tmp_path):
    async with gateway(tmp_path) as served:
        response = await served.client.gateway.CountTokens(of(""))
    assert (response.tokens, response.error_bound) == (0, 0.0)


async def test_a_tokenizer_file_counts_text_exactly(tmp_path):
    exact = load_tokenizer(qwen_vocabulary(), "here").count(SAMPLES["korean"]).tokens
    model = {"provider": "echo", "tokenizer": str(qwen_vocabulary())}
    async with gateway(tmp_path, model=model) as served:
        response = await served.client.gateway.CountTokens(of(SAMPLES["korean"]))
        assert (response.tokens, response.source, response.error_bound) == (
            exact,
            TOKEN_COUNT_SOURCE_LOCAL,
            0.0,
        )
        whole = await served.client.gateway.CountTokens(
            CountTokensRequest(request=asks(SAMPLES["korean"], tools=[tool("book", "Books a table.")]))
        )
        # The tokens that the chat template adds around messages are not in the file.
        assert whole.tokens > exact
        assert 0 < whole.error_bound < 0.2


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
async def test_a_server_with_a_tokenize_endpoint_is_probed_once_and_counts(tmp_path, backend, kind):
    backend.tokenizes = kind
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        count = served.client.gateway.CountTokens
        response = await count(of("one two three"))
        assert (response.tokens, response.source, response.error_bound) == (
            3,
            TOKEN_COUNT_SOURCE_BACKEND,
            0.0,
        )
        probes = len(backend.asked)
        framed = await count(CountTokensRequest(request=asks("one two three")))
        assert (framed.tokens, framed.error_bound) == (4 if kind == "vllm" else 5, 0.0)
        assert len(backend.asked) - probes == (1 if kind == "vllm" else 2)
        assert served.idle


async def test_a_server_without_a_tokenize_endpoint_is_probed_once_only(tmp_path, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        for _ in range(3):
            response = await served.client.gateway.CountTokens(of("one two three"))
            assert response.source == TOKEN_COUNT_SOURCE_ESTIMATE
    assert [each.path for each in backend.asked].count("/tokenize") == 2


async def test_the_tokenizer_file_counts_where_the_backend_is_down(tmp_path):
    file = train_tokenizer(tmp_path / "tokenizer.json")
    model = compatible("http://127.0.0.1:1/v1", models=["m"], tokenizer=str(file))
    async with gateway(tmp_path, model=model) as served:
        response = await served.client.gateway.CountTokens(of("Good evening"))
    assert response.source == TOKEN_COUNT_SOURCE_LOCAL


async def test_an_invalid_request_is_refused(tmp_path):
    async with gateway(tmp_path, gateway={"max_request": 2048, "ollama": None}) as served:
        for request, reason, fields in (
            (CountTokensRequest(), "INVALID_REQUEST", ["input"]),
            (of("x" * 4000), "INVALID_REQUEST", ["text"]),
            (CountTokensRequest(request=asks("")), "INVALID_REQUEST", ["messages[0].parts[0].text"]),
            (of("x", model="nobody"), "MODEL_NOT_FOUND", []),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await served.client.gateway.CountTokens(request)
            error = remote_error(refused.value)
            assert (error.reason, [each.field for each in error.violations]) == (reason, fields)


async def test_an_invalid_tokenizer_file_stops_the_start(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(StartupError, match=r"^model\.tokenizer: .* is not a valid tokenizer\.json"):
        async with gateway(tmp_path, model={"provider": "echo", "tokenizer": str(file)}):
            pass


async def test_counting_a_million_tokens_blocks_nobody(tmp_path):
    """A stream continues during the count, and the event loop is never blocked for long.

    In processor time: a busy machine stops this process for any time.
    """
    lines = (f"{number}: {SAMPLES['english']}\n" for number in range(16_000))
    text = "".join(lines)
    file = train_tokenizer(tmp_path / "tokenizer.json")
    model = {"provider": "echo", "tokenizer": str(file), "pace": "5ms"}
    server = {"max_message": "16MiB"}
    async with gateway(tmp_path, model=model, server=server) as served:
        longest, deltas, counted = 0.0, 0, asyncio.Event()

        async def watch():
            nonlocal longest
            last = time.process_time()
            while not counted.is_set():
                await asyncio.sleep(0.001)
                now = time.process_time()
                longest, last = max(longest, now - last), now

        async def listen():
            nonlocal deltas
            call = served.client.stream(asks("la " * 100_000), seconds=60)
            async for event in call:
                deltas += event.WhichOneof("event") == "text_delta"
                if counted.is_set():
                    call.cancel()
                    break

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            tasks.create_task(listen())
            started_at = time.process_time()
            response = await served.client.gateway.CountTokens(of(text), timeout=60)
            seconds = time.process_time() - started_at
            during = deltas
            counted.set()
    assert response.tokens > 1_000_000
    assert response.source == TOKEN_COUNT_SOURCE_LOCAL
    print(f"{response.tokens} tokens in {seconds:.2f} s; longest stall {longest:.3f} s; {during} deltas")
    assert during > 10
    assert longest < max(0.25, seconds / 4)
