"""Who counts: the backend where it can, else the file, else the estimate; and what the bound says."""

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
from clawdbot_model_gateway.core import token_counting
from clawdbot_model_gateway.core.errors import BackendOverloaded
from clawdbot_model_gateway.core.routing import Target
from clawdbot_model_gateway.core.token_counting import FRAMING, Counting, extent_of
from clawdbot_model_gateway.core.tokenization import RememberingTokenizer
from clawdbot_model_gateway.core.validation import RequestLimits
from clawdbot_servicekit import deadline

from tests.support.generating import asks, says, tool
from tests.support.scripted_provider import Bench, FakeProvider

ALIASES = {"default": (Target("spare", "m", fallback=True), Target("a", "m"))}


class Vendor(FakeProvider):
    """Counts conversations, ten tokens each; or fails; or says nothing."""

    def __init__(self, answer=10) -> None:
        super().__init__()
        self.answer = answer
        self.counted = []

    async def count_tokens(self, request, model) -> int:
        self.counted.append((request, model))
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Words:
    """A tokenizer of words that notes the thread it runs in."""

    def __init__(self) -> None:
        self.threads = set()

    def count(self, text: str) -> int:
        self.threads.add(threading.current_thread())
        return len(text.split())


@pytest.fixture
def words():
    return Words()


def bench_of(provider, tokenizer=None):
    bench = Bench(ALIASES, a=provider, spare=FakeProvider())
    bench.backends["a"].tokenizer = RememberingTokenizer(tokenizer) if tokenizer else None
    return bench, Counting(bench.directory, bench.backends, limits=RequestLimits())


async def test_a_vendor_counts_conversations_exactly():
    bench, counts = bench_of(vendor := Vendor())
    told = await counts.count(CountTokensRequest(request=asks("Good evening")))
    assert (told.tokens, told.source, told.error_bound) == (10, TOKEN_COUNT_SOURCE_BACKEND, 0.0)
    assert vendor.counted == [(asks("Good evening"), "m")]
    assert bench.idle


async def test_a_vendor_that_counts_conversations_only_counts_a_text_as_one():
    _, counts = bench_of(Vendor(40))
    told = await counts.count(CountTokensRequest(text="Good evening"))
    assert (told.tokens, told.source) == (40, TOKEN_COUNT_SOURCE_BACKEND)
    assert told.error_bound == FRAMING / 40


async def test_for_a_bare_text_the_file_is_nearer_than_such_a_vendor(words):
    _, counts = bench_of(vendor := Vendor(40), words)
    told = await counts.count(CountTokensRequest(text="Good evening"))
    assert (told.tokens, told.source, told.error_bound) == (2, TOKEN_COUNT_SOURCE_LOCAL, 0.0)
    assert vendor.counted == []


async def test_a_vendor_that_fails_leaves_it_to_the_next_source(words):
    for tokenizer, source in ((words, TOKEN_COUNT_SOURCE_LOCAL), (None, TOKEN_COUNT_SOURCE_ESTIMATE)):
        bench, counts = bench_of(Vendor(BackendOverloaded("full")), tokenizer)
        told = await counts.count(CountTokensRequest(request=asks("Good evening")))
        assert told.source == source
        assert bench.idle


async def test_a_silent_vendor_takes_no_more_than_half_of_the_deadline():
    bench, counts = bench_of(Vendor(None))
    deadline.enter_deadline(0.2)
    try:
        told = await counts.count(CountTokensRequest(request=asks("Good evening")))
        assert deadline.remaining() > 0
    finally:
        deadline.enter_deadline(None)
    assert told.source == TOKEN_COUNT_SOURCE_ESTIMATE
    assert bench.idle


async def test_a_long_text_is_counted_in_another_thread(words):
    _, counts = bench_of(FakeProvider(), words)
    words.threads.clear()
    await counts.count(CountTokensRequest(text="word\n"))
    assert words.threads == {threading.current_thread()}
    await counts.count(CountTokensRequest(text="word\n" * token_counting.ON_THE_LOOP))
    assert len(words.threads) == 2
    counts.close()


def test_everything_that_a_model_reads_is_counted():
    call = Part()
    call.tool_call.name = "book"
    call.tool_call.arguments.update({"people": 4})
    result = Part(
        tool_result=ToolResult(call_id="1", content=[Part(text="Booked."), Part(image=Media(uri="x"))])
    )
    messages = [says("Hello"), Message(parts=[call, result, Part(document={"uri": "y"})])]
    extent = extent_of(CountTokensRequest(request=asks(*messages, tools=[tool("book", "Books.")])))
    assert [*extent.texts[:4]] == ["Hello", "book", '{"people":4}', "Booked."]
    assert extent.texts[4:6] == ["book", "Books."]
    assert (extent.framed, extent.media) == (3, 2)
