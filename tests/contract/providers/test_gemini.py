"""The provider for the Gemini API, against a fake of it."""

from __future__ import annotations

from typing import ClassVar

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_gateway.core.errors import ProtocolViolation, RateLimited
from clawdbot_model_gateway.core.provider import Embedder, TokenCounter
from clawdbot_model_gateway.providers.gemini import MAX_PAGES
from clawdbot_servicekit.errors import InvalidRequest

from tests.contract.providers.vendor_contract import VendorContract, run
from tests.support.fake_gemini import (
    EMBEDDER,
    KEY,
    MODEL,
    Answer,
    call,
    chunk,
    counts,
    error,
    fake_gemini,
    model,
    retry,
    sse,
    status,
    text_chunks,
)
from tests.support.fake_openai import CUT, whole
from tests.support.generate_requests import asks, tool
from tests.support.providers import make, started


@pytest.fixture
async def backend():
    async with fake_gemini() as fake:
        yield fake


@pytest.fixture
def unstarted(backend):
    return make(provider="gemini", endpoint=backend.url, api_key=KEY)


@pytest.fixture
async def provider(unstarted):
    async for each in started(unstarted):
        yield each


class TestGemini(VendorContract):
    kind = "gemini"

    EMPTY: ClassVar = (chunk({"text": ""}, usage=counts()), chunk({"text": "", "thought": True}))
    BEHAVIOUR: ClassVar = {
        "tool": Answer([sse(chunk(call("tables_reserve", {"people": 4}), finish="STOP", usage=counts()))]),
        "json": Answer([sse(*text_chunks('{"age": 36}'))]),
        "cut": Answer([sse(chunk({"text": "Good"}, usage=counts(output=None))), CUT]),
        "cut_at_once": Answer([sse(chunk(usage=counts(output=None))), CUT]),
        "cut_after_empty_pieces": Answer([sse(*EMPTY), CUT]),
        "overloaded_after_empty_pieces": Answer([sse(*EMPTY, status(503, "The model is overloaded."))]),
        "rate_limited": error(429, "slow down", None, retry("7s")),
        "overloaded_in_the_middle": Answer(
            [sse(chunk({"text": "Good"}), status(503, "The model is overloaded."))]
        ),
    }

    @pytest.fixture
    def model(self):
        return MODEL

    @pytest.fixture
    def behave(self, backend):
        def behave(name):
            backend.will(self.BEHAVIOUR[name])
            return asks()

        return behave


# Models


async def test_models_are_listed_from_every_page_with_those_that_chat_first(provider, backend):
    found = await provider.list_models()
    assert [(each.name, each.context_length) for each in found] == [(MODEL, 1_048_576), (EMBEDDER, 2048)]
    assert [each.query.get("pageToken") for each in backend.asked] == [None, "p/2 ="]


async def test_models_that_do_something_else_come_after_those_that_chat(provider, backend):
    names = ["gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts", "gemini-2.5-flash"]
    backend.pages = [{"models": [model(each) for each in names]}]
    assert [each.name for each in await provider.list_models()] == [names[2], names[0], names[1]]


@pytest.mark.parametrize("method", ["stream", "generate"])
async def test_no_more_tokens_are_asked_for_than_the_model_can_output(provider, backend, method):
    await provider.list_models()
    for limit, sent in ((100_000, 65_536), (9, 9)):
        events = await run(provider, asks(sampling={"max_tokens": limit}), MODEL, method)
        assert backend.last["generationConfig"]["maxOutputTokens"] == sent
        assert not events[0].started.warnings


async def test_no_models_are_an_empty_list(provider, backend):
    backend.will(whole({}))
    assert await provider.list_models() == []


@pytest.mark.parametrize("body", [[], {"models": 7}, {"models": [{}]}, {"data": []}, "text"])
async def test_an_invalid_list_of_models_is_a_protocol_violation(provider, backend, body):
    backend.will(whole(body or [1]))
    with pytest.raises(ProtocolViolation, match="did not return a list of models"):
        await provider.list_models()


async def test_an_endless_list_of_models_is_a_protocol_violation(provider, backend):
    backend.pages = [{"models": [], "nextPageToken": "again"}] * 2
    with pytest.raises(ProtocolViolation, match=f"did not end after {MAX_PAGES} pages"):
        await provider.list_models()
    assert len(backend.asked) == MAX_PAGES


# Tokens


async def test_tokens_are_counted_for_the_request_as_it_would_be_sent(provider, backend):
    request = asks("Good evening to you", tools=[tool("clock.now")], sampling={"max_tokens": 9})
    assert await provider.count_tokens(request, MODEL) == 4
    counted = backend.last["generateContentRequest"]
    await provider.generate(request, MODEL)
    assert counted == {"model": f"models/{MODEL}", **backend.last}


@pytest.mark.parametrize("body", [{}, [], {"totalTokens": "four"}, {"totalTokens": -1}])
async def test_an_invalid_count_is_a_protocol_violation(provider, backend, body):
    backend.will(whole(body))
    with pytest.raises(ProtocolViolation, match="returned no token count"):
        await provider.count_tokens(asks(), MODEL)


# Embeddings


async def test_texts_become_vectors_in_their_order(provider, backend):
    found = await provider.embed(["a", "bcd"], EMBEDDER, None)
    assert [each[0] for each in found.vectors] == [1.0, 3.0]
    assert found.model == EMBEDDER
    assert found.usage == Usage()
    assert backend.last["requests"][1] == {
        "model": f"models/{EMBEDDER}",
        "content": {"parts": [{"text": "bcd"}]},
    }


async def test_more_texts_than_fit_in_one_call_are_sent_in_several(provider, backend):
    backend.embedding = {"usageMetadata": {"promptTokenCount": 10}}
    found = await provider.embed(["x" * (n + 1) for n in range(250)], EMBEDDER, 2)
    assert [each[0] for each in found.vectors] == [float(n + 1) for n in range(250)]
    assert [len(each.body["requests"]) for each in backend.asked] == [100, 100, 50]
    assert (found.usage.input_tokens, found.usage.provenance) == (
        30,
        UsageProvenance.USAGE_PROVENANCE_REPORTED,
    )


async def test_dimensions_that_the_model_refuses_are_an_invalid_request(provider):
    assert len((await provider.embed(["a"], EMBEDDER, 8)).vectors[0]) == 8
    with pytest.raises(InvalidRequest) as refused:
        await provider.embed(["a"], EMBEDDER, 4000)
    assert refused.value.violations[0].field == "dimensions"


async def test_dimensions_that_the_model_ignores_are_an_invalid_request(provider, backend):
    backend.will(whole({"embeddings": [{"values": [0.1, 0.2]}]}))
    with pytest.raises(InvalidRequest, match="always returns vectors of length 2"):
        await provider.embed(["a"], EMBEDDER, 8)


@pytest.mark.parametrize(
    "found",
    [[], [{"values": []}], [{"values": [1]}], [{"values": [1]}, {"values": [1, 2]}], [{"values": ["x"]}], 7],
)
async def test_anything_but_one_vector_for_each_text_is_a_protocol_violation(provider, backend, found):
    backend.will(whole({"embeddings": found}))
    with pytest.raises(ProtocolViolation):
        await provider.embed(["a", "b"], EMBEDDER, None)


async def test_embedding_and_counting_raise_the_backends_errors(provider, backend):
    backend.will(error(429, "slow down", None, retry("7s")), error(429, "slow down", None, retry("7s")))
    with pytest.raises(RateLimited):
        await provider.embed(["a"], EMBEDDER, None)
    with pytest.raises(RateLimited):
        await provider.count_tokens(asks(), MODEL)


def test_it_is_an_embedder_and_counts_tokens(unstarted):
    assert isinstance(unstarted, Embedder)
    assert isinstance(unstarted, TokenCounter)
