"""The provider for Chat Completions, against a fake of OpenAI."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contract.providers.vendor_contract import VendorContract
from tests.support.fake_openai import (
    CUT,
    KEY,
    Answer,
    chunk,
    error,
    fake_openai,
    sse,
    text_chunks,
    usage_chunk,
)
from tests.support.generate_requests import asks
from tests.support.providers import make, started


class TestOpenAICompatible(VendorContract):
    kind = "openai_compatible"

    CALL: ClassVar = {
        "index": 0,
        "id": "c1",
        "function": {"name": "tables_reserve", "arguments": '{"people": 4}'},
    }
    EMPTY: ClassVar = (chunk({"role": "assistant", "content": ""}), chunk({"reasoning": ""}), usage_chunk())
    BUSY: ClassVar = {"error": {"message": "busy", "type": "overloaded_error"}}
    BEHAVIOUR: ClassVar = {
        "tool": Answer([sse(chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls"))]),
        "json": Answer([sse(*text_chunks('{"age": 36}'))]),
        "cut": Answer([sse(*text_chunks("Good", finish=None), done=False), CUT]),
        "cut_at_once": Answer([sse(chunk({"role": "assistant"}), done=False), CUT]),
        "rate_limited": error(429, "slow down", "rate_limit_exceeded", **{"Retry-After": "7"}),
        "overloaded_in_the_middle": Answer([sse(*text_chunks("Good", finish=None), BUSY, done=False)]),
        "cut_after_empty_pieces": Answer([sse(*EMPTY, done=False), CUT]),
        "overloaded_after_empty_pieces": Answer([sse(*EMPTY, BUSY, done=False)]),
    }

    @pytest.fixture
    async def backend(self):
        async with fake_openai() as fake:
            yield fake

    @pytest.fixture
    def unstarted(self, backend):
        return make(provider="openai_compatible", endpoint=backend.url, api_key=KEY)

    @pytest.fixture
    async def provider(self, unstarted):
        async for each in started(unstarted):
            yield each

    @pytest.fixture
    def model(self):
        return "fake-1"

    @pytest.fixture
    def behave(self, backend):
        def behave(name):
            backend.will(self.BEHAVIOUR[name])
            return asks()

        return behave


class TestWithoutJson(TestOpenAICompatible):
    """A server without a field for JSON: the gateway emulates it."""

    @pytest.fixture
    def unstarted(self, backend):
        unsupported = ["response_format.json", "response_format.json_schema"]
        return make(provider="openai_compatible", endpoint=backend.url, api_key=KEY, unsupported=unsupported)
