"""What Provider promises. Every provider's test class inherits these; core/provider.py is the text of it."""

from __future__ import annotations

import json
from contextlib import aclosing

import pytest
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot_model_gateway.core.accumulator import fold
from clawdbot_model_gateway.core.errors import BackendFailed, BackendOverloaded, FormMissed, RateLimited
from clawdbot_model_gateway.core.provider import LimitedForms
from clawdbot_model_gateway.core.structured_output.emulation import keeping_form
from clawdbot_model_gateway.core.structured_output.validation import Judges
from clawdbot_servicekit.errors import InvalidRequest

from tests.support.generating import asks, check_grammar, collect, finish_of, kinds, text_of, tool

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
UNHEARD_OF = {"logprobs": 3}
"""Sampling that no provider can honour: the reply has no place for it."""


class ProviderContract:
    """Inherited with `kind`, and fixtures `provider` (started) and `model` (a name that it answers for).

    Asked anything, the backend behind it answers with a text.
    """

    kind: str
    """The provider's name among the entry points."""

    async def test_a_reply_is_well_formed(self, provider, model):
        events = await collect(provider.stream(asks(), model))
        check_grammar(events)
        assert text_of(events)
        assert finish_of(events) == "stop"

    async def test_started_names_the_model(self, provider, model):
        events = await collect(provider.stream(asks(), model))
        assert events[0].started.model

    async def test_a_whole_reply_is_the_stream_folded(self, provider, model):
        streamed = fold(await collect(provider.stream(asks(), model)))
        events = await provider.generate(asks(), model)
        check_grammar(events)
        assert fold(events) == streamed

    async def test_a_request_is_left_as_it_was(self, provider, model):
        request = asks(tools=[tool("tables.reserve")], sampling={"max_tokens": 100, "stop": ["###"]})
        before = request.SerializeToString(deterministic=True)
        await collect(provider.stream(request, model))
        await provider.generate(request, model)
        assert request.SerializeToString(deterministic=True) == before

    async def test_a_field_that_cannot_be_honoured_is_told(self, provider, model):
        request = asks(sampling=UNHEARD_OF)
        for events in (
            await collect(provider.stream(request, model)),
            await provider.generate(request, model),
        ):
            assert [each.field for each in events[0].started.warnings] == ["sampling.logprobs"]
            assert text_of(events)

    async def test_a_strict_request_is_refused_for_it(self, provider, model):
        request = asks(sampling=UNHEARD_OF, strict=True)
        with pytest.raises(InvalidRequest) as streamed:
            await collect(provider.stream(request, model))
        with pytest.raises(InvalidRequest) as whole:
            await provider.generate(request, model)
        for refused in (streamed, whole):
            assert [each.field for each in refused.value.violations] == ["sampling.logprobs"]

    async def test_a_stream_that_is_left_early_harms_no_other(self, provider, model):
        async with aclosing(provider.stream(asks(), model)) as left:
            async for event in left:
                if event.WhichOneof("event") != "started":
                    break
        check_grammar(await collect(provider.stream(asks(), model)))

    async def test_the_endpoint_bears_no_credentials(self, provider):
        assert "@" not in provider.endpoint
        assert provider.open_connections >= 0

    async def test_it_lists_what_it_answers_for(self, provider, model):
        assert model in {each.name for each in await provider.list_models()}

    async def test_stopping_twice_is_stopping_once(self, provider):
        await provider.stop()
        await provider.stop()
        assert provider.open_connections == 0

    def test_stopping_without_a_start_is_safe(self, unstarted):
        assert unstarted.open_connections == 0


class BackendContract(ProviderContract):
    """For providers of backends that call tools and fail. `behave(word)` gives a request that meets it."""

    async def test_a_tool_call_is_whole(self, provider, model, behave):
        request = behave("tool")
        request.tools.append(tool("tables.reserve"))
        events = await collect(provider.stream(request, model))
        check_grammar(events)
        assert finish_of(events) == "tool_calls"
        call = fold(events).message.parts[-1].tool_call
        assert call.name == "tables.reserve"
        assert dict(call.arguments.items()) == {"people": 4}

    async def test_a_reply_that_breaks_off_is_truncated(self, provider, model, behave):
        events = await collect(provider.stream(behave("cut"), model))
        check_grammar(events)
        assert finish_of(events) == "truncated"
        assert events[-1].finished.truncated
        assert text_of(events)

    async def test_a_reply_that_breaks_off_before_it_began_is_a_failure(self, provider, model, behave):
        with pytest.raises(BackendFailed):
            await collect(provider.stream(behave("cut_at_once"), model))

    @pytest.mark.parametrize("way", ["stream", "generate"])
    async def test_a_rate_limit_says_when_to_come_back(self, provider, model, behave, way):
        with pytest.raises(RateLimited) as failed:
            await run(provider, behave("rate_limited"), model, way)
        assert failed.value.retry_after == 7

    async def test_a_failure_in_the_middle_comes_after_what_was_said(self, provider, model, behave):
        seen = []
        with pytest.raises(BackendOverloaded):  # noqa: PT012 - what comes before is what counts
            async for event in provider.stream(behave("overloaded_in_the_middle"), model):
                seen.append(event)  # noqa: PERF401 - a comprehension would lose it
        assert kinds(seen) == ["started", "text_delta"]

    @pytest.mark.parametrize("way", ["stream", "generate"])
    async def test_a_failed_request_harms_no_other(self, provider, model, behave, way):
        with pytest.raises(RateLimited):
            await run(provider, behave("rate_limited"), model, way)
        assert text_of(await run(provider, asks(), model, way))

    async def test_json_of_a_schema_validates(self, provider, model, behave):
        request = behave("json")
        request.response_format.json_schema.schema.update(AGE)
        reply = fold(await run(await self.kept(provider, request, model), request, model, "stream"))
        assert json.loads(reply.message.parts[-1].text) == {"age": 36}

    async def test_json_that_is_not_asked_for_by_a_field_is_checked(self, provider, model, behave):
        request = behave("json")
        request.response_format.json_schema.schema.update({**AGE, "required": ["age", "name"]})
        limited = isinstance(provider, LimitedForms)
        if limited and "json_schema" not in provider.forms(request, model):
            with pytest.raises(FormMissed):
                await run(await self.kept(provider, request, model), request, model, "stream")
        else:
            assert await self.kept(provider, request, model) is provider

    async def kept(self, provider, request, model):
        """What the gateway asks in the provider's place."""
        return await keeping_form(provider, request, model, judges=Judges(), pay=list[Usage]().append)


async def run(provider, request, model, way):
    if way == "stream":
        return await collect(provider.stream(request, model))
    return await provider.generate(request, model)
