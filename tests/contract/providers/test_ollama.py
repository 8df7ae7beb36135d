"""The provider for Ollama's own protocol, against a fake of Ollama."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contract.providers.vendor_contract import VendorContract
from tests.support.fake_ollama import MODEL, call, counts, error, fake_ollama, last, line, ndjson, streamed
from tests.support.fake_openai import CUT
from tests.support.generate_requests import asks
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
