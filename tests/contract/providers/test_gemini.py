"""The provider for the Gemini API, against a fake of it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contract.providers.provider_contract import BackendContract
from tests.support.fake_gemini import (
    KEY,
    MODEL,
    Answer,
    call,
    counts,
    error,
    fake_gemini,
    piece,
    retry,
    sse,
    status,
)
from tests.support.fake_openai import CUT
from tests.support.generating import asks
from tests.support.providing import make, started


class TestGemini(BackendContract):
    kind = "gemini"

    BEHAVIOUR: ClassVar = {
        "tool": Answer([sse(piece(call("tables_reserve", {"people": 4}), finish="STOP", usage=counts()))]),
        "cut": Answer([sse(piece({"text": "Good"}, usage=counts(output=None))), CUT]),
        "cut_at_once": Answer([sse(piece(usage=counts(output=None))), CUT]),
        "rate_limited": error(429, "slow down", None, retry("7s")),
        "overloaded_in_the_middle": Answer(
            [sse(piece({"text": "Good"}), status(503, "The model is overloaded."))]
        ),
    }

    @pytest.fixture
    async def backend(self):
        async with fake_gemini() as fake:
            yield fake

    @pytest.fixture
    def unstarted(self, backend):
        return make(provider="gemini", endpoint=backend.url, api_key=KEY)

    @pytest.fixture
    async def provider(self, unstarted):
        async for each in started(unstarted):
            yield each

    @pytest.fixture
    def model(self):
        return MODEL

    @pytest.fixture
    def behave(self, backend):
        def behave(word):
            backend.will(self.BEHAVIOUR[word])
            return asks()

        return behave
