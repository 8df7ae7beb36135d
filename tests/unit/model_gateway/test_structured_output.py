"""Response formats that a backend does not support: requested by other means, validated, retried once."""

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

from tests.support.generate_requests import asks, check_grammar, collect, kinds, says, tool
from tests.support.scripted_provider import STOP, FakeProvider
from tests.support.structured_output import (
    BAD,
    GOOD,
    RPCS,
    answer,
    bench_of,
    call_reply,
    schema_format,
    text_reply,
)


@RPCS
async def test_a_supported_format_is_left_to_the_backend(rpc):
    bench, provider = bench_of(text_reply(BAD), native={"json_schema"})
    reply = await answer(bench, rpc=rpc)
    assert reply.message.parts[0].text == BAD
    assert provider.requests[0].HasField("response_format")


@RPCS
async def test_an_unsupported_format_is_requested_in_the_prompt(rpc):
    bench, provider = bench_of(text_reply("Sure! ", "```json\n", GOOD, "\n```"))
    reply = await answer(bench, rpc=rpc)
    assert reply.message.parts[0].text == GOOD
    assert [(each.code, each.field) for each in reply.warnings] == [
        ("FORM_EMULATED", "response_format.json_schema")
    ]
    (request,) = provider.requests
    assert not request.HasField("response_format")
    assert request.messages[0].role == ROLE_SYSTEM
    assert '"required"' in request.messages[0].parts[0].text


async def test_the_prompt_is_added_to_an_existing_system_message():
    bench, provider = bench_of(text_reply(GOOD))
    await answer(bench, asks(says("Be brief.", ROLE_SYSTEM), "Who?", response_format=schema_format()))
    (request,) = provider.requests
    assert [each.role for each in request.messages].count(ROLE_SYSTEM) == 1
    assert request.messages[0].parts[0].text == "Be brief."


@RPCS
async def test_a_tool_receives_the_answer_where_a_call_can_be_forced(rpc):
    bench, provider = bench_of(call_reply(GOOD), native={"tool"})
    reply = await answer(bench, rpc=rpc)
    assert reply.message.parts[0].text == GOOD
    assert (reply.finish_reason, reply.raw_finish_reason) == (STOP, "tool_calls")
    assert len(reply.message.parts) == 1
    (request,) = provider.requests
    assert (request.tool_choice.mode, request.tool_choice.name) == (ToolChoice.MODE_NAMED, "answer")
    assert "properties" in request.tools[0].input_schema


@pytest.mark.parametrize(
    "request_",
    [
        asks(response_format=schema_format(), tools=[tool("t")]),
        asks(response_format=schema_format({"type": "array", "items": {"type": "integer"}})),
    ],
    ids=["the caller has tools", "the schema is not an object's"],
)
async def test_the_prompt_is_used_where_a_tool_cannot_be(request_):
    text = GOOD if request_.tools else "[1]"
    bench, provider = bench_of(text_reply(text), native={"tool"})
    reply = await answer(bench, request_)
    assert reply.message.parts[0].text == text
    assert provider.requests[0].tool_choice.mode == ToolChoice.MODE_UNSPECIFIED


@RPCS
async def test_a_call_of_the_callers_own_tool_is_passed_on_unchanged(rpc):
    reply = call_reply('{"people": 4}', name="tables.reserve")
    bench, provider = bench_of(reply, native={"tool"})
    request = asks(response_format=schema_format(), tools=[tool("tables.reserve")])
    reply = await answer(bench, request, rpc)
    assert reply.finish_reason == FinishReason.FINISH_REASON_TOOL_CALLS
    (part,) = reply.message.parts
    assert (part.tool_call.id, part.tool_call.name) == ("c1", "tables.reserve")
    assert dict(part.tool_call.arguments.items()) == {"people": 4}
    assert len(provider.requests) == 1


async def test_such_a_call_keeps_the_events_of_the_backend():
    reply = [
        *call_reply('{"people": 4}', name="t")[:-1],
        events.finished(FinishReason.FINISH_REASON_MODEL_ERROR),
    ]
    reply.insert(1, events.text_delta("Let me see."))
    bench, _ = bench_of(reply)
    request = asks(response_format=schema_format(), tools=[tool("t")])
    seen = await collect(bench.stream(request))
    check_grammar(seen)
    assert kinds(seen) == ["started", *kinds(reply)[1:-1], "usage", "finished"]
    assert list(seen[0].started.warnings) == []


@pytest.mark.parametrize(
    ("request_", "native"),
    [
        (asks(response_format=schema_format()), {"tool"}),
        (asks(response_format=schema_format()), ()),
    ],
    ids=["tool", "prompt"],
)
async def test_a_call_of_an_unknown_tool_is_not_the_answer(request_, native):
    bench, provider = bench_of(call_reply(GOOD, name="made_up"), text_reply(GOOD), native=native)
    reply = await answer(bench, request_)
    assert reply.message.parts[0].text == GOOD
    assert len(provider.requests) == 2


async def test_the_answer_is_found_next_to_another_call():
    other = [events.tool_call_started(0, "c0", "made_up"), events.tool_call_delta(0, "{}")]
    other.append(events.tool_call_done(0, ToolCall(id="c0", name="made_up")))
    ours = call_reply(GOOD)
    for each in ours[1:-1]:
        getattr(each, each.WhichOneof("event")).index = 1
    bench, _ = bench_of([ours[0], *other, *ours[1:]], native={"tool"})
    assert (await answer(bench)).message.parts[0].text == GOOD


@RPCS
async def test_text_is_validated_where_the_forced_tool_was_not_called(rpc):
    bench, provider = bench_of(text_reply("It is Ada."), text_reply(GOOD), native={"tool"})
    assert (await answer(bench, rpc=rpc)).message.parts[0].text == GOOD
    assert "not JSON" in provider.requests[1].messages[-1].parts[0].text


async def test_support_for_any_json_is_used_for_a_schema():
    bench, provider = bench_of(text_reply(GOOD), native={"json"})
    await answer(bench)
    assert provider.requests[0].response_format.WhichOneof("format") == "json"


@pytest.mark.parametrize("name", ["order form", "a.b.c", "x" * 100, "订单", "9 lives", ".", "🙂"])
@pytest.mark.parametrize("letter_first", [True, False])
async def test_the_tool_gets_a_valid_name_whatever_the_schema_is_called(name, letter_first):
    names = ToolNames([name], letter_first=letter_first)
    wire = names.to_wire(name)
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}" if letter_first else r"[A-Za-z0-9_-]{1,64}", wire)
    bench, _ = bench_of(call_reply(GOOD, name=names.from_wire(wire)), native={"tool"})
    reply = await answer(bench, asks(response_format=schema_format(name=name)))
    assert reply.message.parts[0].text == GOOD


async def test_the_format_json_is_validated_to_be_an_object():
    bench, _ = bench_of(text_reply("[1]"), text_reply('{"a": 1}'))
    reply = await answer(bench, asks(response_format=ResponseFormat(json=JsonFormat())))
    assert reply.message.parts[0].text == '{"a": 1}'


async def test_an_invalid_call_gets_a_tool_result_with_the_errors():
    bench, provider = bench_of(call_reply(BAD), call_reply(GOOD), native={"tool"})
    assert (await answer(bench)).message.parts[0].text == GOOD
    call, result = (each.parts[0] for each in provider.requests[1].messages[-2:])
    assert call.tool_call.id == result.tool_result.call_id == "c1"
    assert result.tool_result.is_error


async def test_the_next_target_is_tried_after_the_retry():
    bench, _ = bench_of(text_reply("no"), b=FakeProvider(text_reply(GOOD)))
    reply = await answer(bench)
    assert (reply.backend, reply.message.parts[0].text) == ("b", GOOD)


@pytest.mark.parametrize("end", ["LENGTH", "REFUSAL", "CONTENT_FILTER", "TRUNCATED"])
async def test_an_incomplete_reply_is_passed_on_as_it_is(end):
    reason = FinishReason.Value(f"FINISH_REASON_{end}")
    bench, provider = bench_of(text_reply('{"name": "A', finish=reason))
    reply = await answer(bench)
    assert reply.finish_reason == reason
    assert len(provider.requests) == 1


async def test_only_a_valid_answer_is_sent_and_reasoning_is_kept():
    bench, _ = bench_of(
        [events.started("m"), events.reasoning_delta("hm"), events.text_delta(GOOD), events.finished(STOP)]
    )
    seen = await collect(bench.stream(asks(response_format=schema_format())))
    assert kinds(seen) == ["started", "reasoning_delta", "text_delta", "usage", "finished"]
