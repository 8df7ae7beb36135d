"""The provider for Ollama's own protocol, against a fake of Ollama."""

from __future__ import annotations

from typing import ClassVar

import pytest
from clawdbot.model_gateway.v1.generation_pb2 import REASONING_EFFORT_HIGH

from tests.contract.providers.vendor_contract import VendorContract
from tests.support.fake_ollama import MODEL, call, counts, error, fake_ollama, last, line, ndjson, streamed
from tests.support.fake_openai import CUT, whole
from tests.support.generate_requests import asks, text_of
from tests.support.providers import make, started

EMPTY = (line(**counts()), line({"thinking": ""}))
BUSY = {"error": "server busy, please try again.  maximum pending requests exceeded"}
BEHAVIOUR = {
    "tool": streamed(ndjson(line(call("tables_reserve", {"people": 4})), last("stop"))),
    "json": streamed(ndjson(line({"content": '{"age": 36}'}), last("stop"))),
    "cut": streamed(ndjson(line({"content": "Good"})), CUT),
    "cut_at_once": streamed(ndjson(line()), CUT),
    "rate_limited": error(429, "you have reached your hourly usage limit", **{"Retry-After": "7"}),
    "overloaded_in_the_middle": streamed(ndjson(line({"content": "Good"}), BUSY)),
    "cut_after_empty_pieces": streamed(ndjson(*EMPTY), CUT),
    "overloaded_after_empty_pieces": streamed(ndjson(*EMPTY, BUSY)),
}


@pytest.mark.parametrize("answer", [error(404, "404 page not found"), whole([]), whole({"error": "no"}, 500)])
async def test_a_server_that_cannot_describe_a_model_still_answers(answer):
    async with fake_ollama() as backend:
        backend.shown[MODEL] = answer
        async for provider in started(make(provider="ollama", endpoint=backend.root)):
            request = asks(sampling={"reasoning_effort": REASONING_EFFORT_HIGH})
            events = await provider.generate(request, MODEL)
            assert text_of(events) == "Good evening."
            assert [each.field for each in events[0].started.warnings] == ["sampling.reasoning_effort"]


class TestOllama(VendorContract):
    kind: ClassVar = "ollama"

    @pytest.fixture
    async def backend(self):
        async with fake_ollama() as fake:
            yield fake

    @pytest.fixture
    def unstarted(self, backend):
        return make(provider=self.kind, endpoint=backend.root)

    @pytest.fixture
    async def provider(self, unstarted):
        async for each in started(unstarted):
            yield each

    @pytest.fixture
    def model(self):
        return MODEL

    @pytest.fixture
    def behave(self, backend):
        def behave(name):
            backend.will(BEHAVIOUR[name])
            return asks()

        return behave
