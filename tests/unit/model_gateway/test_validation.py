"""The validation of requests, unsupported fields, and the small tools of the domain."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Document,
    Media,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerateRequest,
    JsonSchemaFormat,
    ResponseFormat,
    ToolChoice,
)
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core import events
from clawdbot_model_gateway.core.events import finish_reason, merge_deltas
from clawdbot_model_gateway.core.supported_fields import warnings_for
from clawdbot_model_gateway.core.tokens.token_estimate import TokenEstimator, estimate_tokens
from clawdbot_model_gateway.core.validation import RequestLimits, validate_request
from clawdbot_servicekit.errors import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.generate_requests import asks, tool


def violations(request, **limits):
    with pytest.raises(InvalidRequest) as refused:
        validate_request(request, RequestLimits(**limits))
    return [each.field for each in refused.value.violations]


def request_with(role, *parts):
    return asks(Message(role=role, parts=parts))


def sampled(**sampling):
    return asks(sampling=sampling)


CALL = Part(tool_call=ToolCall(id="c1", name="t"))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (GenerateRequest(), "messages"),
        (request_with(0, Part(text="x")), "messages[0].role"),
        (request_with(9, Part(text="x")), "messages[0].role"),
        (request_with(ROLE_USER), "messages[0].parts"),
        (request_with(ROLE_USER, Part(text="")), "messages[0].parts[0].text"),
        (request_with(ROLE_USER, Part()), "messages[0].parts[0]"),
        (request_with(ROLE_USER, Part(image=Media())), "messages[0].parts[0].image"),
        (request_with(ROLE_USER, Part(image=Media(data=b"x"))), "messages[0].parts[0].image.media_type"),
        (request_with(ROLE_USER, Part(audio=Media(uri=""))), "messages[0].parts[0].audio"),
        (
            request_with(ROLE_USER, Part(document=Document(data=b"x"))),
            "messages[0].parts[0].document.media_type",
        ),
        (request_with(ROLE_USER, CALL), "messages[0].parts[0].tool_call"),
        (request_with(ROLE_USER, Part(reasoning=Reasoning(text="x"))), "messages[0].parts[0].reasoning"),
        (
            request_with(ROLE_ASSISTANT, Part(tool_call=ToolCall(id="c1"))),
            "messages[0].parts[0].tool_call.name",
        ),
        (
            request_with(ROLE_ASSISTANT, Part(tool_call=ToolCall(name="t"))),
            "messages[0].parts[0].tool_call.id",
        ),
        (
            request_with(ROLE_SYSTEM, Part(tool_result=ToolResult(call_id="c1"))),
            "messages[0].parts[0].tool_result",
        ),
        (request_with(ROLE_TOOL, Part(tool_result=ToolResult())), "messages[0].parts[0].tool_result.call_id"),
        (asks(tools=[tool("")]), "tools[0].name"),
        (asks(tools=[tool("t"), tool("t")]), "tools[1].name"),
        (asks(tool_choice=ToolChoice(mode=9)), "tool_choice.mode"),
        (asks(tool_choice=ToolChoice(mode=ToolChoice.MODE_REQUIRED)), "tool_choice.mode"),
        (asks(tool_choice=ToolChoice(mode=ToolChoice.MODE_NAMED, name="t")), "tool_choice.name"),
        (
            asks(response_format=ResponseFormat(json_schema=JsonSchemaFormat())),
            "response_format.json_schema.schema",
        ),
        (sampled(max_tokens=0), "sampling.max_tokens"),
        (sampled(temperature=2.1), "sampling.temperature"),
        (sampled(temperature=float("nan")), "sampling.temperature"),
        (sampled(top_p=-0.1), "sampling.top_p"),
        (sampled(top_k=0), "sampling.top_k"),
        (sampled(presence_penalty=3), "sampling.presence_penalty"),
        (sampled(frequency_penalty=float("inf")), "sampling.frequency_penalty"),
        (sampled(logprobs=21), "sampling.logprobs"),
        (sampled(stop=["a", ""]), "sampling.stop[1]"),
    ],
)
def test_an_invalid_request_is_refused_with_the_field(request_, field):
    assert violations(request_) == [field]


def test_all_violations_are_reported_at_once():
    request = asks("", tools=[tool("")], sampling={"top_p": 2.0, "top_k": 0})
    assert len(violations(request)) == 4


def test_a_request_that_is_too_large_is_refused():
    assert violations(asks("a", "b", "c"), max_messages=2) == ["messages"]
    assert violations(asks("x" * 2000), max_bytes=1024) == ["messages"]


def test_a_complete_conversation_is_valid():
    result = Part(tool_result=ToolResult(call_id="c1"))
    validate_request(
        asks(
            "hi",
            Message(role=ROLE_ASSISTANT, parts=[Part(text=""), CALL]),
            Message(role=ROLE_TOOL, parts=[result]),
            Message(role=ROLE_USER, parts=[Part(image=Media(uri="https://a.example/b.png")), result]),
            tools=[tool("t")],
            tool_choice=ToolChoice(mode=ToolChoice.MODE_NAMED, name="t"),
            sampling={"temperature": 0.0, "top_p": 1.0, "max_tokens": 1},
        ),
        RequestLimits(),
    )


# Unsupported fields


def test_each_field_that_has_no_effect_is_a_warning():
    request = asks(
        sampling={"top_k": 3, "seed": 0, "stop": ["x"]},
        tool_choice=ToolChoice(mode=ToolChoice.MODE_NONE, disable_parallel=True),
        response_format=ResponseFormat(json_schema=JsonSchemaFormat(name="x")),
    )
    request.provider_options.update({"x": 1})
    warnings = warnings_for(request, frozenset({"sampling.seed"}), "echo")
    assert {each.field for each in warnings} == {
        "sampling.top_k",
        "sampling.stop",
        "tool_choice",
        "tool_choice.disable_parallel",
        "response_format.json_schema",
        "provider_options",
    }
    assert {each.code for each in warnings} == {"FIELD_NOT_SUPPORTED"}


def test_a_default_gives_no_warning():
    auto = asks(tools=[tool("t")], tool_choice=ToolChoice(mode=ToolChoice.MODE_AUTO), strict=True)
    assert warnings_for(auto, frozenset(), "echo") == []


# Events


def test_a_missing_finish_reason_is_truncated_and_a_new_one_unknown():
    reasons = {"stop": FinishReason.FINISH_REASON_STOP}
    assert finish_reason("", reasons) == FinishReason.FINISH_REASON_TRUNCATED
    assert finish_reason("brand_new", reasons) == FinishReason.FINISH_REASON_UNKNOWN


def test_neighbouring_deltas_are_merged():
    deltas = [
        events.text_delta("a"),
        events.text_delta("b"),
        events.reasoning_delta("c"),
        events.reasoning_delta("d", signature=b"s"),
        events.reasoning_delta("e"),
        events.text_delta("f"),
    ]
    assert [each.WhichOneof("event") for each in merge_deltas(deltas)] == [
        "text_delta",
        "reasoning_delta",
        "reasoning_delta",
        "reasoning_delta",
        "text_delta",
    ]


def test_deltas_of_one_tool_call_are_merged_and_no_event_is_changed():
    pieces = [events.tool_call_delta(index, text) for index, text in [(0, "{"), (0, "}"), (1, "{}")]]
    before = [each.SerializeToString() for each in pieces]
    assert [each.tool_call_delta.arguments for each in merge_deltas(pieces)] == ["{}", "{}"]
    assert [each.SerializeToString() for each in pieces] == before


MANY_DELTAS = """
import resource
from clawdbot_model_gateway.core.events import merge_deltas, text_delta
deltas = [text_delta("x" * 200) for _ in range(5000)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(merged,) = merge_deltas(deltas)
assert len(merged.text_delta.text) == 1_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_merging_takes_memory_in_proportion_to_the_text():
    done = subprocess.run([sys.executable, "-c", MANY_DELTAS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000, "KiB"


def test_the_parts_of_a_reply_keep_the_order_of_their_events():
    call = ToolCall(id="c1", name="t")
    reply = accumulate(
        [
            events.started("m"),
            events.reasoning_delta("hm"),
            events.reasoning_delta(" hm", signature=b"s"),
            events.reasoning_delta("", redacted=True),
            events.text_delta("a"),
            events.text_delta("b"),
            events.tool_call_started(0, "c1", "t"),
            events.tool_call_delta(0, "{}"),
            events.tool_call_done(0, call),
            events.finished(FinishReason.FINISH_REASON_TOOL_CALLS, "tool_calls"),
        ]
    )
    assert list(reply.message.parts) == [
        Part(reasoning=Reasoning(text="hm hm", signature=b"s")),
        Part(reasoning=Reasoning(redacted=True)),
        Part(text="ab"),
        Part(tool_call=call),
    ]


def test_events_without_a_finish_are_a_truncated_reply():
    reply = accumulate([events.started("m"), events.text_delta("a")])
    assert reply.truncated
    assert reply.finish_reason == FinishReason.FINISH_REASON_TRUNCATED


# Estimates


@given(st.lists(st.text(max_size=20), max_size=5))
def test_an_estimate_does_not_depend_on_how_the_text_is_split(pieces):
    estimate = TokenEstimator()
    for piece in pieces:
        estimate.add(piece)
    assert estimate.tokens == estimate_tokens("".join(pieces))
    assert (estimate.tokens > 0) == bool("".join(pieces))


def test_an_estimate_is_near_for_english_and_chinese():
    assert 9 <= estimate_tokens("The quick brown fox jumps over the lazy dog.") <= 12
    assert 5 <= estimate_tokens("敏捷的棕色狐狸跳过了懒狗") <= 14
