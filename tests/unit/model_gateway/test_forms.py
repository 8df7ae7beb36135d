"""Replies of a form that a backend has no field for: asked for by other means, checked, mended once."""

from __future__ import annotations

import re

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM, ToolCall
from clawdbot.model_gateway.v1.generation_pb2 import (
    JsonFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames

from tests.support.forming import (
    BAD,
    GOOD,
    WAYS,
    answer,
    bench,
    called,
    wanted,
    words,
)
from tests.support.generating import asks, check_grammar, collect, kinds, says, tool
from tests.support.scripted_provider import STOP, FakeProvider


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


@WAYS
async def test_a_call_of_the_callers_own_tool_goes_through_untouched(way):
    calls = called('{"people": 4}', name="tables.reserve")
    place, provider = bench(calls, forms={"tool"})
    reply = await answer(place, asks(response_format=wanted(), tools=[tool("tables.reserve")]), way)
    assert reply.finish_reason == FinishReason.FINISH_REASON_TOOL_CALLS
    (part,) = reply.message.parts
    assert (part.tool_call.id, part.tool_call.name) == ("c1", "tables.reserve")
    assert dict(part.tool_call.arguments.items()) == {"people": 4}
    assert len(provider.requests) == 1


async def test_its_events_are_those_of_the_backend():
    calls = [*called('{"people": 4}', name="t")[:-1], events.finished(FinishReason.FINISH_REASON_MODEL_ERROR)]
    calls.insert(1, events.text("Let me see."))
    place, _ = bench(calls)
    seen = await collect(place.generation.stream(asks(response_format=wanted(), tools=[tool("t")])))
    check_grammar(seen)
    assert kinds(seen) == ["started", *kinds(calls)[1:-1], "usage", "finished"]
    assert list(seen[0].started.warnings) == []


@pytest.mark.parametrize(
    ("request_", "forms"),
    [
        (asks(response_format=wanted()), {"tool"}),
        (asks(response_format=wanted()), ()),
    ],
    ids=["by a tool", "in words"],
)
async def test_a_call_of_a_tool_that_nobody_gave_is_no_answer(request_, forms):
    place, provider = bench(called(GOOD, name="made_up"), words(GOOD), forms=forms)
    reply = await answer(place, request_)
    assert reply.message.parts[0].text == GOOD
    assert len(provider.requests) == 2


async def test_the_answer_is_found_beside_another_call():
    other = [events.tool_started(0, "c0", "made_up"), events.tool_delta(0, "{}")]
    other.append(events.tool_done(0, ToolCall(id="c0", name="made_up")))
    ours = called(GOOD)
    for each in ours[1:-1]:
        getattr(each, each.WhichOneof("event")).index = 1
    place, _ = bench([ours[0], *other, *ours[1:]], forms={"tool"})
    assert (await answer(place)).message.parts[0].text == GOOD


@WAYS
async def test_a_demanded_tool_that_is_not_called_leaves_the_words_to_be_judged(way):
    place, provider = bench(words("It is Ada."), words(GOOD), forms={"tool"})
    assert (await answer(place, way=way)).message.parts[0].text == GOOD
    assert "not JSON" in provider.requests[1].messages[-1].parts[0].text


async def test_what_can_be_had_of_a_field_for_any_json_is_taken():
    place, provider = bench(words(GOOD), forms={"json"})
    await answer(place)
    assert provider.requests[0].response_format.WhichOneof("format") == "json"


@pytest.mark.parametrize("name", ["order form", "a.b.c", "x" * 100, "订单", "9 lives", ".", "🙂"])
@pytest.mark.parametrize("letter_first", [True, False])
async def test_whatever_a_schema_is_called_its_tool_has_a_name_that_wires_take(name, letter_first):
    names = ToolNames([name], letter_first=letter_first)
    wire = names.wire(name)
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}" if letter_first else r"[A-Za-z0-9_-]{1,64}", wire)
    place, _ = bench(called(GOOD, name=names.full(wire)), forms={"tool"})
    reply = await answer(place, asks(response_format=wanted(name=name)))
    assert reply.message.parts[0].text == GOOD


async def test_any_json_object_is_checked_to_be_one():
    place, _ = bench(words("[1]"), words('{"a": 1}'))
    reply = await answer(place, asks(response_format=ResponseFormat(json=JsonFormat())))
    assert reply.message.parts[0].text == '{"a": 1}'


async def test_a_call_that_does_not_fit_is_answered_with_what_is_wrong():
    place, provider = bench(called(BAD), called(GOOD), forms={"tool"})
    assert (await answer(place)).message.parts[0].text == GOOD
    call, result = (each.parts[0] for each in provider.requests[1].messages[-2:])
    assert call.tool_call.id == result.tool_result.call_id == "c1"
    assert result.tool_result.is_error


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
