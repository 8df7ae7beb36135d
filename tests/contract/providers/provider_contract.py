"""The Provider contract of core/provider.py as tests, which every provider's test class inherits."""

from __future__ import annotations

import json
from contextlib import aclosing

import pytest
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    PRIORITY_BATCH,
    PRIORITY_INTERACTIVE,
    CachePolicy,
)
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendOverloaded,
    RateLimited,
    ResponseFormatMissed,
)
from clawdbot_model_gateway.core.provider import LimitedFormats
from clawdbot_model_gateway.core.structured_output.emulation import with_format_emulation
from clawdbot_model_gateway.core.structured_output.validation import validator_processes
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.generate_requests import asks, check_grammar, collect, finish_of, kinds, text_of, tool

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
UNSUPPORTED_SAMPLING = {"logprobs": 3}
"""Sampling that no provider supports: our reply has no field for it."""


class ProviderContract:
    """Subclasses set `kind` and the fixtures `provider` (started), `unstarted` and `model` (one that it has).

    Whatever it is asked, the backend behind the provider answers with text.
    """

    kind: str
    """The name of the provider's entry point."""

    async def test_a_reply_is_well_formed(self, provider, model):
        events = await collect(provider.stream(asks(), model))
        check_grammar(events)
        assert text_of(events)
        assert finish_of(events) == "stop"

    async def test_started_names_the_model(self, provider, model):
        events = await collect(provider.stream(asks(), model))
        assert events[0].started.model

    async def test_generate_returns_what_the_stream_accumulates_to(self, provider, model):
        streamed = accumulate(await collect(provider.stream(asks(), model)))
        events = await provider.generate(asks(), model)
        check_grammar(events)
        assert accumulate(events) == streamed

    async def test_a_request_is_not_changed(self, provider, model):
        request = asks(tools=[tool("tables.reserve")], sampling={"max_tokens": 100, "stop": ["###"]})
        before = request.SerializeToString(deterministic=True)
        await collect(provider.stream(request, model))
        await provider.generate(request, model)
        assert request.SerializeToString(deterministic=True) == before

    async def test_an_unsupported_field_gives_a_warning(self, provider, model):
        request = asks(sampling=UNSUPPORTED_SAMPLING)
        for events in (
            await collect(provider.stream(request, model)),
            await provider.generate(request, model),
        ):
            assert [each.field for each in events[0].started.warnings] == ["sampling.logprobs"]
            assert text_of(events)

    async def test_a_strict_request_with_an_unsupported_field_is_refused(self, provider, model):
        request = asks(sampling=UNSUPPORTED_SAMPLING, strict=True)
        with pytest.raises(InvalidRequest) as streamed:
            await collect(provider.stream(request, model))
        with pytest.raises(InvalidRequest) as whole:
            await provider.generate(request, model)
        for refused in (streamed, whole):
            assert [each.field for each in refused.value.violations] == ["sampling.logprobs"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"cache": CachePolicy(mode=CachePolicy.MODE_USE)},
            {"cache": CachePolicy(mode=CachePolicy.MODE_REFRESH)},
            {"cache": CachePolicy(semantic=True)},
            {"cache": CachePolicy(mode=CachePolicy.MODE_BYPASS)},
            {"priority": PRIORITY_BATCH},
            {"priority": PRIORITY_INTERACTIVE},
        ],
    )
    async def test_what_the_gateway_itself_honours_is_not_reported(self, provider, model, fields):
        for strict in (False, True):
            events = await provider.generate(asks(**fields, strict=strict), model)
            assert not events[0].started.warnings

    async def test_a_stream_that_is_closed_early_does_not_affect_the_next(self, provider, model):
        async with aclosing(provider.stream(asks(), model)) as left:
            async for event in left:
                if event.WhichOneof("event") != "started":
                    break
        check_grammar(await collect(provider.stream(asks(), model)))

    async def test_the_endpoint_contains_no_credentials(self, provider):
        assert "@" not in provider.endpoint
        assert provider.open_connections >= 0

    async def test_it_lists_its_models(self, provider, model):
        assert model in {each.name for each in await provider.list_models()}

    async def test_stopping_twice_is_safe(self, provider):
        await provider.stop()
        await provider.stop()
        assert provider.open_connections == 0

    def test_stopping_without_a_start_is_safe(self, unstarted):
        assert unstarted.open_connections == 0


class BackendContract(ProviderContract):
    """For providers whose backend calls tools and fails; `behave(name)` returns a request that causes it."""

    async def test_a_tool_call_is_complete(self, provider, model, behave):
        request = behave("tool")
        request.tools.append(tool("tables.reserve"))
        events = await collect(provider.stream(request, model))
        check_grammar(events)
        assert finish_of(events) == "tool_calls"
        call = accumulate(events).message.parts[-1].tool_call
        assert call.name == "tables.reserve"
        assert dict(call.arguments.items()) == {"people": 4}

    async def test_a_reply_that_breaks_off_is_truncated(self, provider, model, behave):
        events = await collect(provider.stream(behave("cut"), model))
        check_grammar(events)
        assert finish_of(events) == "truncated"
        assert events[-1].finished.truncated
        assert text_of(events)

    async def test_a_reply_that_breaks_off_before_it_began_is_an_error(self, provider, model, behave):
        with pytest.raises(BackendFailed):
            await collect(provider.stream(behave("cut_at_once"), model))

    @pytest.mark.parametrize(
        ("behaviour", "error"),
        [("cut_after_empty_pieces", BackendFailed), ("overloaded_after_empty_pieces", BackendOverloaded)],
    )
    async def test_an_error_before_the_first_content_leaves_the_next_target_to_be_asked(
        self, provider, model, behave, behaviour, error
    ):
        seen = []
        with pytest.raises(error) as raised:  # noqa: PT012 - the events before it are what is tested
            async for event in provider.stream(behave(behaviour), model):
                seen.append(event)  # noqa: PERF401 - a comprehension would lose them
        assert raised.value.retry_elsewhere
        assert kinds(seen) in ([], ["started"])

    @pytest.mark.parametrize("method", ["stream", "generate"])
    async def test_a_rate_limit_says_when_to_retry(self, provider, model, behave, method):
        with pytest.raises(RateLimited) as raised:
            await run(provider, behave("rate_limited"), model, method)
        assert raised.value.retry_after == 7

    async def test_an_error_in_the_middle_comes_after_the_text_before_it(self, provider, model, behave):
        seen = []
        with pytest.raises(BackendOverloaded):  # noqa: PT012 - the events before it are what is tested
            async for event in provider.stream(behave("overloaded_in_the_middle"), model):
                seen.append(event)  # noqa: PERF401 - a comprehension would lose them
        assert kinds(seen) == ["started", "text_delta"]

    @pytest.mark.parametrize("method", ["stream", "generate"])
    async def test_a_failed_request_does_not_affect_the_next(self, provider, model, behave, method):
        with pytest.raises(RateLimited):
            await run(provider, behave("rate_limited"), model, method)
        assert text_of(await run(provider, asks(), model, method))

    async def test_json_for_a_schema_is_valid(self, provider, model, behave):
        request = behave("json")
        request.response_format.json_schema.schema.update(AGE)
        reply = accumulate(
            await run(await self.with_format(provider, request, model), request, model, "stream")
        )
        assert json.loads(reply.message.parts[-1].text) == {"age": 36}

    async def test_json_without_a_field_for_it_is_validated(self, provider, model, behave):
        request = behave("json")
        request.response_format.json_schema.schema.update({**AGE, "required": ["age", "name"]})
        limited = isinstance(provider, LimitedFormats)
        if limited and "json_schema" not in provider.native_formats(request, model):
            with pytest.raises(ResponseFormatMissed):
                await run(await self.with_format(provider, request, model), request, model, "stream")
        else:
            assert await self.with_format(provider, request, model) is provider

    async def with_format(self, provider, request, model):
        """What the gateway calls instead of the provider."""
        return await with_format_emulation(
            provider, request, model, processes=validator_processes(), record_usage=list[Usage]().append
        )


async def run(provider, request, model, method):
    if method == "stream":
        return await collect(provider.stream(request, model))
    return await provider.generate(request, model)
