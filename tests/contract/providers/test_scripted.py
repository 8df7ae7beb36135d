"""The provider that follows a script."""

from __future__ import annotations

import pytest

from tests.contract.providers.provider_contract import BackendContract
from tests.support.generate_requests import asks
from tests.support.providers import make, started


class TestScripted(BackendContract):
    kind = "scripted"

    REPLIES = (
        {"when": "tool", "tool_calls": [{"name": "tables.reserve", "arguments": {"people": 4}}]},
        {"when": "json", "text": '{"age": 36}'},
        {"when": "cut_at_once", "text": "Good evening.", "fault": "cut"},
        {"when": "cut_after_empty_pieces", "text": "", "fault": "cut"},
        {"when": "overloaded_after_empty_pieces", "text": "", "fault": {"kind": "overloaded", "after": 0}},
        {"when": "cut", "text": "Good evening.", "fault": {"kind": "cut", "after": 1}},
        {"when": "rate_limited", "times": 1, "fault": {"kind": "rate_limited", "retry_after": 7}},
        {
            "when": "overloaded_in_the_middle",
            "text": "Good evening.",
            "fault": {"kind": "overloaded", "after": 1},
        },
        {"text": "Good evening."},
    )

    @pytest.fixture
    def unstarted(self):
        return make(provider="scripted", replies=self.REPLIES)

    @pytest.fixture
    async def provider(self, unstarted):
        async for each in started(unstarted):
            yield each

    @pytest.fixture
    def model(self):
        return "scripted"

    @pytest.fixture
    def behave(self):
        """The script matches what the user says."""
        return asks
