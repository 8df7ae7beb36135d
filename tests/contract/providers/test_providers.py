"""Every provider that is registered is held to the contract."""

from __future__ import annotations

from typing import ClassVar

import pytest
from clawdbot_model_gateway.discovery import installed, make_provider
from clawdbot_model_gateway.settings import BackendSettings

from tests.contract.providers.provider_contract import BackendContract, ProviderContract
from tests.support.fake_openai import (
    CUT,
    KEY,
    Answer,
    chunk,
    error,
    fake_openai,
    sse,
    text_chunks,
)
from tests.support.generating import asks


def make(**settings):
    """A provider as the configuration makes it, by its entry point."""
    return make_provider("model", BackendSettings(**settings), installed())


async def started(provider):
    """Started for one test."""
    await provider.start()
    yield provider
    await provider.stop()


class TestEcho(ProviderContract):
    kind = "echo"

    @pytest.fixture
    def unstarted(self):
        return make(provider="echo")

    @pytest.fixture
    async def provider(self, unstarted):
        async for each in started(unstarted):
            yield each

    @pytest.fixture
    def model(self):
        return "echo"


class TestScripted(BackendContract):
    kind = "scripted"

    REPLIES = (
        {"when": "tool", "tool_calls": [{"name": "tables.reserve", "arguments": {"people": 4}}]},
        {"when": "cut_at_once", "text": "Good evening.", "fault": "cut"},
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
        """The script goes by what is said."""
        return asks


class TestOpenAICompatible(BackendContract):
    kind = "openai_compatible"

    CALL: ClassVar = {
        "index": 0,
        "id": "c1",
        "function": {"name": "tables_reserve", "arguments": '{"people": 4}'},
    }
    BEHAVIOUR: ClassVar = {
        "tool": Answer([sse(chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls"))]),
        "cut": Answer([sse(*text_chunks("Good", finish=None), done=False), CUT]),
        "cut_at_once": Answer([sse(chunk({"role": "assistant"}), done=False), CUT]),
        "rate_limited": error(429, "slow down", "rate_limit_exceeded", **{"Retry-After": "7"}),
        "overloaded_in_the_middle": Answer(
            [
                sse(
                    *text_chunks("Good", finish=None),
                    {"error": {"message": "busy", "type": "overloaded_error"}},
                    done=False,
                )
            ]
        ),
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
        def behave(word):
            backend.will(self.BEHAVIOUR[word])
            return asks()

        return behave


def test_every_registered_provider_is_held_to_the_contract():
    assert {TestEcho.kind, TestScripted.kind, TestOpenAICompatible.kind} == set(installed())
