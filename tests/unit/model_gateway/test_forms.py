"""Replies of a form that a backend has no field for: asked for by other means, checked, mended once."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, ToolCall
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot.model_gateway.v1.generation_pb2 import (
    JsonFormat,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.failures import BackendFailed, FormMissed
from clawdbot_model_gateway.core.fold import fold
from clawdbot_model_gateway.core.forms.form import Form, json_in
from clawdbot_model_gateway.core.routing import Target
from clawdbot_servicekit.faults import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.generating import asks, check_grammar, collect, kinds, says, tool
from tests.support.scripted_provider import STOP, WAIT, Bench, FakeProvider

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
GOOD = '{"name": "Ada", "age": 36}'
BAD = '{"name": "Ada", "age": "old"}'
WAYS = pytest.mark.parametrize("way", ["stream", "generate"])
REPORTED = UsageProvenance.USAGE_PROVENANCE_REPORTED


class LimitedProvider(FakeProvider):
    """A provider that has fields for these forms only, and keeps what it was asked."""

    def __init__(self, *scripts, forms=()):
        super().__init__(*scripts)
        self._forms = frozenset(forms)
        self.requests = []

    def forms(self, _request, _model, /):
        return self._forms

    async def stream(self, request, model):
        self.requests.append(request)
        async for event in super().stream(request, model):
            yield event


def wanted(schema=PERSON, name=""):
    form = JsonSchemaFormat(name=name)
    form.schema.update(schema)
    return ResponseFormat(json_schema=form)


def words(*pieces, finish=STOP, usage=None):
    cost = [events.used(usage)] if usage else []
    return [events.started("m"), *map(events.text, pieces), *cost, events.finished(finish, "stop")]


def called(arguments, name="answer"):
    whole = ToolCall(id="c1", name=name)
    whole.arguments.update(json.loads(arguments))
    return [
        events.started("m"),
        events.tool_started(0, "c1", name),
        events.tool_delta(0, arguments[:5]),
        events.tool_delta(0, arguments[5:]),
        events.tool_done(0, whole),
        events.finished(FinishReason.FINISH_REASON_TOOL_CALLS, "tool_calls"),
    ]


def bench(*scripts, forms=(), **others):
    provider = LimitedProvider(*scripts, forms=forms)
    targets = (Target("a", "m"), *(Target(name, "m", fallback=True) for name in others))
    return Bench({"default": targets}, a=provider, **others), provider


async def answer(place, request=None, way="stream"):
    request = request or asks("Who?", response_format=wanted())
    if way == "generate":
        return await place.generation.generate(request)
    seen = await collect(place.generation.stream(request))
    check_grammar(seen)
    return fold(seen)


@WAYS
async def test_a_form_that_there_is_a_field_for_is_left_to_the_backend(way):
    place, provider = bench(words(BAD), forms={"json_schema"})
    reply = await answer(place, way=way)
    assert reply.message.parts[0].text == BAD
    assert provider.requests[0].HasField("response_format")


@WAYS
async def test_it_is_asked_for_in_words_where_there_is_none(way):
    place, provider = bench(words("Sure! ", "```json\n", GOOD, "\n```"))
    reply = await answer(place, way=way)
    assert reply.message.parts[0].text == GOOD
    assert [(each.code, each.field) for each in reply.warnings] == [
        ("FORM_EMULATED", "response_format.json_schema")
    ]
    (asked,) = provider.requests
    assert not asked.HasField("response_format")
    assert asked.messages[0].role == ROLE_SYSTEM
    assert '"required"' in asked.messages[0].parts[0].text


async def test_one_word_of_the_system_stays_one():
    place, provider = bench(words(GOOD))
    await answer(place, asks(says("Be brief.", ROLE_SYSTEM), "Who?", response_format=wanted()))
    (asked,) = provider.requests
    assert [each.role for each in asked.messages].count(ROLE_SYSTEM) == 1
    assert asked.messages[0].parts[0].text == "Be brief."


@WAYS
async def test_it_is_asked_for_by_a_tool_where_a_tool_can_be_demanded(way):
    place, provider = bench(called(GOOD), forms={"tool"})
    reply = await answer(place, way=way)
    assert reply.message.parts[0].text == GOOD
    assert (reply.finish_reason, reply.raw_finish_reason) == (STOP, "tool_calls")
    assert len(reply.message.parts) == 1
    (asked,) = provider.requests
    assert (asked.tool_choice.mode, asked.tool_choice.name) == (ToolChoice.MODE_NAMED, "answer")
    assert "properties" in asked.tools[0].input_schema


@pytest.mark.parametrize(
    "request_",
    [
        asks(response_format=wanted(), tools=[tool("t")]),
        asks(response_format=wanted({"type": "array", "items": {"type": "integer"}})),
    ],
    ids=["tools of the caller's own", "what is no object"],
)
async def test_in_words_where_a_tool_would_not_do(request_):
    text = GOOD if request_.tools else "[1]"
    place, provider = bench(words(text), forms={"tool"})
    reply = await answer(place, request_)
    assert reply.message.parts[0].text == text
    assert provider.requests[0].tool_choice.mode == ToolChoice.MODE_UNSPECIFIED


async def test_what_can_be_had_of_a_field_for_any_json_is_taken():
    place, provider = bench(words(GOOD), forms={"json"})
    await answer(place)
    assert provider.requests[0].response_format.WhichOneof("format") == "json"


async def test_any_json_object_is_checked_to_be_one():
    place, _ = bench(words("[1]"), words('{"a": 1}'))
    reply = await answer(place, asks(response_format=ResponseFormat(json=JsonFormat())))
    assert reply.message.parts[0].text == '{"a": 1}'


@WAYS
async def test_an_answer_that_does_not_fit_is_sent_back_once(way):
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    place, provider = bench(words(BAD, usage=cost), words(GOOD, usage=cost))
    reply = await answer(place, way=way)
    assert reply.message.parts[0].text == GOOD
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (20, 10)
    assert reply.usage.provenance == REPORTED
    again = provider.requests[1].messages
    assert again[-2].parts[0].text == BAD
    assert "age" in again[-1].parts[0].text


async def test_a_call_that_does_not_fit_is_answered_with_what_is_wrong():
    place, provider = bench(called(BAD), called(GOOD), forms={"tool"})
    assert (await answer(place)).message.parts[0].text == GOOD
    call, result = (each.parts[0] for each in provider.requests[1].messages[-2:])
    assert call.tool_call.id == result.tool_result.call_id == "c1"
    assert result.tool_result.is_error


@WAYS
async def test_an_answer_that_fits_neither_time_is_a_failure_and_paid_for(way):
    cost = Usage(input_tokens=10, output_tokens=5, provenance=REPORTED)
    place, provider = bench(words(BAD, usage=cost))
    with pytest.raises(FormMissed, match="age"):
        await answer(place, way=way)
    assert len(provider.requests) == 2
    assert (place.done["outcome"], place.done["output_tokens"]) == ("RESPONSE_FORMAT_MISSED", 10)
    assert place.idle


async def test_the_next_target_is_tried_then():
    place, _ = bench(words("no"), b=FakeProvider(words(GOOD)))
    reply = await answer(place)
    assert (reply.backend, reply.message.parts[0].text) == ("b", GOOD)


@pytest.mark.parametrize("end", ["LENGTH", "REFUSAL", "CONTENT_FILTER", "TRUNCATED"])
async def test_an_answer_that_is_not_whole_is_told_as_it_is(end):
    reason = FinishReason.Value(f"FINISH_REASON_{end}")
    place, provider = bench(words('{"name": "A', finish=reason))
    reply = await answer(place)
    assert reply.finish_reason == reason
    assert len(provider.requests) == 1


async def test_nothing_is_shown_before_it_fits_but_thoughts_stay():
    place, _ = bench([events.started("m"), events.reasoning("hm"), events.text(GOOD), events.finished(STOP)])
    seen = await collect(place.generation.stream(asks(response_format=wanted())))
    assert kinds(seen) == ["started", "reasoning_delta", "text_delta", "usage", "finished"]


@WAYS
async def test_a_failure_in_the_second_round_is_that_failure(way):
    place, _ = bench(words(BAD), [events.started("m"), BackendFailed("gone")])
    with pytest.raises(BackendFailed):
        await answer(place, way=way)


async def test_leaving_in_the_second_round_ends_the_request():
    place, provider = bench(words(BAD), [events.started("m"), WAIT])
    task = asyncio.create_task(answer(place))
    await provider.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.open == 0
    assert place.idle


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}},
        {"type": 7},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
    ],
)
async def test_a_schema_that_cannot_be_checked_is_the_callers_mistake(schema):
    place, provider = bench(words(GOOD))
    with pytest.raises(InvalidRequest) as refused:
        await answer(place, asks(response_format=wanted(schema)))
    assert refused.value.violations[0].field == "response_format.json_schema.schema"
    assert provider.requests == []


async def test_a_pattern_takes_no_more_time_than_its_text_is_long():
    hostile = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    place, _ = bench(words(json.dumps({"a": "a" * 50_000 + "!"})))
    begun = time.process_time()
    with pytest.raises(FormMissed):
        await answer(place, asks(response_format=wanted(hostile)))
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD, GOOD),
        (f"  {GOOD}\n", GOOD),
        (f"Here it is:\n```json\n{GOOD}\n```\nAnything else?", GOOD),
        (f"As {{asked}}: {GOOD} - there.", GOOD),
        ("[1, 2] then", "[1, 2]"),
        ("no JSON here", "no JSON here"),
        ("{" * 5000, "{" * 5000),
    ],
)
def test_json_is_found_among_words(text, found):
    assert json_in(text) == found


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ).filter(lambda value: isinstance(value, list | dict)),
    before=st.text(alphabet="abc .,:\n", max_size=20),
    after=st.text(alphabet="abc .,:\n", max_size=20),
)
def test_json_is_found_whatever_words_are_around_it(value, before, after):
    assert json.loads(json_in(f"{before}{json.dumps(value)}{after}")) == value


@given(text=st.text(max_size=200))
def test_any_text_is_judged(text):
    assert isinstance(Form(wanted()).fault(json_in(text)), str)
