"""CountTokens over a real port: who counts, how sure that is, and that nobody else waits for it."""

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
from clawdbot_model_gateway.tokenizer_files import read_tokenizer
from clawdbot_servicekit.error_table import remote_error
from clawdbot_servicekit.errors import StartupError

from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generating import asks, tool
from tests.support.scripts import SAMPLES
from tests.support.vocabularies import qwen_vocabulary, train_tokenizer


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


def of(text: str, **fields) -> CountTokensRequest:
    return CountTokensRequest(text=text, **fields)


@pytest.mark.parametrize("way", ["client", "inside"])
async def test_with_nothing_configured_it_is_an_estimate_with_its_bound(tmp_path, way):
    exact = read_tokenizer(qwen_vocabulary(), "here").count(SAMPLES["chinese"]).tokens
    async with gateway(tmp_path) as served:
        told = await getattr(served, way).gateway.CountTokens(of(SAMPLES["chinese"]))
    assert told.source == TOKEN_COUNT_SOURCE_ESTIMATE
    assert abs(exact - told.tokens) <= told.error_bound * told.tokens
    assert 0 < told.error_bound < 0.5


async def test_no_text_is_no_token(tmp_path):
    async with gateway(tmp_path) as served:
        told = await served.client.gateway.CountTokens(of(""))
    assert (told.tokens, told.error_bound) == (0, 0.0)


async def test_a_tokenizer_file_counts_text_exactly(tmp_path):
    exact = read_tokenizer(qwen_vocabulary(), "here").count(SAMPLES["korean"]).tokens
    model = {"provider": "echo", "tokenizer": str(qwen_vocabulary())}
    async with gateway(tmp_path, model=model) as served:
        told = await served.client.gateway.CountTokens(of(SAMPLES["korean"]))
        assert (told.tokens, told.source, told.error_bound) == (exact, TOKEN_COUNT_SOURCE_LOCAL, 0.0)
        whole = await served.client.gateway.CountTokens(
            CountTokensRequest(request=asks(SAMPLES["korean"], tools=[tool("book", "Books a table.")]))
        )
        # What the model's template puts around messages is not in the file.
        assert whole.tokens > exact
        assert 0 < whole.error_bound < 0.2


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
async def test_a_server_that_tokenizes_is_asked_and_probed_once(tmp_path, backend, kind):
    backend.tokenizes = kind
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        count = served.client.gateway.CountTokens
        told = await count(of("one two three"))
        assert (told.tokens, told.source, told.error_bound) == (3, TOKEN_COUNT_SOURCE_BACKEND, 0.0)
        probes = len(backend.asked)
        framed = await count(CountTokensRequest(request=asks("one two three")))
        assert (framed.tokens, framed.error_bound) == (4 if kind == "vllm" else 5, 0.0)
        assert len(backend.asked) - probes == (1 if kind == "vllm" else 2)
        assert served.idle


async def test_a_server_that_does_not_tokenize_is_not_asked_again(tmp_path, backend):
    async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
        for _ in range(3):
            told = await served.client.gateway.CountTokens(of("one two three"))
            assert told.source == TOKEN_COUNT_SOURCE_ESTIMATE
    assert [each.path for each in backend.asked].count("/tokenize") == 2


async def test_a_backend_that_is_away_leaves_the_count_to_the_file(tmp_path):
    file = train_tokenizer(tmp_path / "tokenizer.json")
    model = compatible("http://127.0.0.1:1/v1", models=["m"], tokenizer=str(file))
    async with gateway(tmp_path, model=model) as served:
        told = await served.client.gateway.CountTokens(of("Good evening"))
    assert told.source == TOKEN_COUNT_SOURCE_LOCAL


async def test_what_cannot_be_counted_is_refused(tmp_path):
    async with gateway(tmp_path, gateway={"max_request": 2048, "ollama": None}) as served:
        for request, reason, fields in (
            (CountTokensRequest(), "INVALID_REQUEST", ["input"]),
            (of("x" * 4000), "INVALID_REQUEST", ["text"]),
            (CountTokensRequest(request=asks("")), "INVALID_REQUEST", ["messages[0].parts[0].text"]),
            (of("x", model="nobody"), "MODEL_NOT_FOUND", []),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await served.client.gateway.CountTokens(request)
            told = remote_error(refused.value)
            assert (told.reason, [each.field for each in told.violations]) == (reason, fields)


async def test_a_broken_tokenizer_file_keeps_the_gateway_from_starting(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(StartupError, match=r"^model\.tokenizer: .* is no tokenizer\.json"):
        async with gateway(tmp_path, model={"provider": "echo", "tokenizer": str(file)}):
            pass


async def test_a_million_tokens_hold_up_nobody(tmp_path):
    """Beside the count a stream goes on, and the loop is never away for long."""
    lines = (f"{number}: {SAMPLES['english']}\n" for number in range(16_000))
    text = "".join(lines)
    file = train_tokenizer(tmp_path / "tokenizer.json")
    model = {"provider": "echo", "tokenizer": str(file), "pace": "5ms"}
    server = {"max_message": "16MiB"}
    async with gateway(tmp_path, model=model, server=server) as served:
        longest, pieces, over = 0.0, 0, asyncio.Event()

        async def watch():
            nonlocal longest
            last = time.perf_counter()
            while not over.is_set():
                await asyncio.sleep(0.001)
                now = time.perf_counter()
                longest, last = max(longest, now - last), now

        async def listen():
            nonlocal pieces
            call = served.client.stream(asks("la " * 100_000), seconds=60)
            async for event in call:
                pieces += event.WhichOneof("event") == "text_delta"
                if over.is_set():
                    call.cancel()
                    break

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            tasks.create_task(listen())
            begun = time.perf_counter()
            told = await served.client.gateway.CountTokens(of(text), timeout=60)
            took = time.perf_counter() - begun
            before = pieces
            over.set()
    assert told.tokens > 1_000_000
    assert told.source == TOKEN_COUNT_SOURCE_LOCAL
    print(f"{told.tokens} tokens in {took:.2f} s; longest stall {longest:.3f} s; {before} pieces beside")
    assert before > 10
    assert longest < max(0.25, took / 4)
