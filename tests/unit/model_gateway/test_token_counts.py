"""Which source counts tokens: the backend, the tokenizer file or the estimate; and its error bound."""

from __future__ import annotations

import asyncio
import threading

import pytest
from clawdbot.common.v1.message_pb2 import Media, Message, Part, ToolResult
from clawdbot.model_gateway.v1.model_gateway_service_pb2 import (
    TOKEN_COUNT_SOURCE_BACKEND,
    TOKEN_COUNT_SOURCE_ESTIMATE,
    TOKEN_COUNT_SOURCE_LOCAL,
    CountTokensRequest,
)
from clawdbot_model_gateway.core.errors import BackendOverloaded
from clawdbot_model_gateway.core.routing.routing_table import Target
from clawdbot_model_gateway.core.tokens import token_counts
from clawdbot_model_gateway.core.tokens.token_counts import FRAMING_TOKENS, TokenCounts, count_input
from clawdbot_model_gateway.core.tokens.tokenization import CachingTokenizer
from clawdbot_model_gateway.core.validation import RequestLimits
from clawdbot_servicekit import deadline

from tests.support.generate_requests import asks, says, tool
from tests.support.scripted_provider import Bench, FakeProvider

ALIASES = {"default": (Target("spare", "m", fallback=True), Target("a", "m"))}


class CountingProvider(FakeProvider):
    """Counts requests: always the same number, or an error, or None for no response at all."""

    def __init__(self, result=10) -> None:
        super().__init__()
        self.result = result
        self.counted = []

    async def count_tokens(self, request, model) -> int:
        self.counted.append((request, model))
        if self.result is None:
            await asyncio.Event().wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class WordTokenizer:
    """Counts words, and records the threads that it runs in."""

    def __init__(self) -> None:
        self.threads = set()

    def count(self, text: str) -> int:
        self.threads.add(threading.current_thread())
        return len(text.split())


@pytest.fixture
def words():
    return WordTokenizer()


def bench_of(provider, tokenizer=None):
    bench = Bench(ALIASES, a=provider, spare=FakeProvider())
    bench.backends["a"].tokenizer = CachingTokenizer(tokenizer) if tokenizer else None
    return bench, TokenCounts(bench.router, bench.backends, limits=RequestLimits())


async def test_a_backend_counts_requests_exactly():
    bench, counting = bench_of(provider := CountingProvider())
    counted = await counting.count(CountTokensRequest(request=asks("Good evening")))
    assert (counted.tokens, counted.source, counted.error_bound) == (10, TOKEN_COUNT_SOURCE_BACKEND, 0.0)
    assert provider.counted == [(asks("Good evening"), "m")]
    assert bench.idle


async def test_a_backend_that_only_counts_requests_counts_a_text_as_a_message():
    _, counting = bench_of(CountingProvider(40))
    counted = await counting.count(CountTokensRequest(text="Good evening"))
    assert (counted.tokens, counted.source) == (40, TOKEN_COUNT_SOURCE_BACKEND)
    assert counted.error_bound == FRAMING_TOKENS / 40


async def test_for_a_text_the_tokenizer_file_is_preferred_to_such_a_backend(words):
    _, counting = bench_of(provider := CountingProvider(40), words)
    counted = await counting.count(CountTokensRequest(text="Good evening"))
    assert (counted.tokens, counted.source, counted.error_bound) == (2, TOKEN_COUNT_SOURCE_LOCAL, 0.0)
    assert provider.counted == []


async def test_the_next_source_counts_where_the_backend_fails(words):
    for tokenizer, source in ((words, TOKEN_COUNT_SOURCE_LOCAL), (None, TOKEN_COUNT_SOURCE_ESTIMATE)):
        bench, counting = bench_of(CountingProvider(BackendOverloaded("full")), tokenizer)
        counted = await counting.count(CountTokensRequest(request=asks("Good evening")))
        assert counted.source == source
        assert bench.idle


async def test_a_silent_backend_takes_at_most_half_of_the_deadline():
    bench, counting = bench_of(CountingProvider(None))
    deadline.enter_deadline(2.0)
    try:
        counted = await counting.count(CountTokensRequest(request=asks("Good evening")))
        assert deadline.remaining() > 0
    finally:
        deadline.enter_deadline(None)
    assert counted.source == TOKEN_COUNT_SOURCE_ESTIMATE
    assert bench.idle


async def test_a_long_text_is_counted_in_another_thread(words):
    _, counting = bench_of(FakeProvider(), words)
    words.threads.clear()
    await counting.count(CountTokensRequest(text="word\n"))
    assert words.threads == {threading.current_thread()}
    await counting.count(CountTokensRequest(text="word\n" * token_counts.MAX_INLINE_CHARACTERS))
    assert len(words.threads) == 2
    counting.close()


def test_everything_that_a_model_reads_is_counted():
    call = Part()
    call.tool_call.name = "book"
    call.tool_call.arguments.update({"people": 4})
    result = Part(
        tool_result=ToolResult(call_id="1", content=[Part(text="Booked."), Part(image=Media(uri="x"))])
    )
    messages = [says("Hello"), Message(parts=[call, result, Part(document={"uri": "y"})])]
    counted = count_input(CountTokensRequest(request=asks(*messages, tools=[tool("book", "Books.")])))
    assert [*counted.texts[:4]] == ["Hello", "book", '{"people":4}', "Booked."]
    assert counted.texts[4:6] == ["book", "Books."]
    assert (counted.framed_items, counted.media) == (3, 2)
