"""The provider for the Messages API, against a fake of Anthropic."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contract.providers.vendor_contract import VendorContract
from tests.support.fake_anthropic import (
    KEY,
    MODEL,
    begin,
    calls,
    end,
    error,
    error_event,
    fake_anthropic,
    reply,
    says,
    sse,
    thinks,
)
from tests.support.fake_openai import CUT, Answer
from tests.support.generate_requests import asks
from tests.support.providers import make, started

EMPTY = (begin(), *says(""), *thinks("", signature="", index=1))
"""What begins a reply, with usage and without content."""
BEHAVIOUR = {
    "tool": Answer([sse(begin(), *calls("tables_reserve", '{"people"', ": 4}"), *end("tool_use"))]),
    "json": Answer([sse(*reply('{"age": 36}'))]),
    "cut": Answer([sse(begin(), *says("Good")), CUT]),
    "cut_at_once": Answer([sse(begin()), CUT]),
    "cut_after_empty_pieces": Answer([sse(*EMPTY), CUT]),
    "overloaded_after_empty_pieces": Answer([sse(*EMPTY, error_event("overloaded_error", "Overloaded"))]),
    "rate_limited": error(429, "rate_limit_error", "slow down", **{"Retry-After": "7"}),
    "overloaded_in_the_middle": Answer(
        [sse(begin(), *says("Good"), error_event("overloaded_error", "Overloaded"))]
    ),
}


class TestAnthropic(VendorContract):
    kind: ClassVar = "anthropic"

    @pytest.fixture
    async def backend(self):
        async with fake_anthropic() as fake:
            yield fake

    @pytest.fixture
    def unstarted(self, backend):
        return make(provider=self.kind, endpoint=backend.url, api_key=KEY)

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
