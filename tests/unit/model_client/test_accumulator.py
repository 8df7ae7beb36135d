"""The events of a reply become the reply."""

from __future__ import annotations

from clawdbot.common.v1.finish_reason_pb2 import FINISH_REASON_STOP, FINISH_REASON_TRUNCATED
from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ToolCall
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1.generation_pb2 import (
    GenerationFinished,
    GenerationStarted,
    ReasoningDelta,
    StreamGenerateResponse,
    TextDelta,
    ToolCallDelta,
    ToolCallDone,
)
from clawdbot_model_client.accumulator import ReplyAccumulator, accumulate


def text(delta):
    return StreamGenerateResponse(text_delta=TextDelta(text=delta))


def reasoning(delta="", **others):
    return StreamGenerateResponse(reasoning_delta=ReasoningDelta(text=delta, **others))


def tool_call(name):
    return StreamGenerateResponse(tool_call_done=ToolCallDone(tool_call=ToolCall(id="1", name=name)))


def parts(*events):
    """What the parts contain, in order."""
    message = accumulate(events).message
    return [
        (part.reasoning.text, part.reasoning.signature, part.reasoning.redacted)
        if part.HasField("reasoning")
        else part.text or part.tool_call.name
        for part in message.parts
    ]


def test_neighbouring_deltas_become_one_part_and_parts_keep_their_order():
    found = parts(
        text("a"), text("b"), tool_call("look"), text("c"), reasoning("d"), reasoning("e"), text("f")
    )
    assert found == ["ab", "look", "c", ("de", b"", False), "f"]


def test_a_signature_ends_the_reasoning_that_it_signs():
    found = parts(reasoning("a"), reasoning("b", signature=b"s"), reasoning("c"))
    assert found == [("ab", b"s", False), ("c", b"", False)]


def test_reasoning_that_is_withheld_is_a_part_of_its_own():
    found = parts(reasoning("a"), reasoning(signature=b"s", redacted=True), reasoning("b"))
    assert found == [("a", b"", False), ("", b"s", True), ("b", b"", False)]


def test_empty_deltas_and_unfinished_tool_calls_leave_no_part():
    assert parts(text(""), StreamGenerateResponse(tool_call_delta=ToolCallDelta(arguments="{"))) == []


def test_the_rest_of_the_reply_comes_from_its_first_and_last_events():
    finished = GenerationFinished(finish_reason=FINISH_REASON_STOP, raw_finish_reason="end")
    reply = accumulate(
        [
            StreamGenerateResponse(started=GenerationStarted(model="m", backend="b")),
            text("hello"),
            StreamGenerateResponse(usage=Usage(input_tokens=7)),
            StreamGenerateResponse(finished=finished),
        ]
    )
    assert (reply.model, reply.backend, reply.usage.input_tokens) == ("m", "b", 7)
    assert (reply.finish_reason, reply.raw_finish_reason, reply.truncated) == (
        FINISH_REASON_STOP,
        "end",
        False,
    )
    assert reply.message.role == ROLE_ASSISTANT


def test_a_reply_without_an_end_is_truncated():
    reply = accumulate([text("hel")])
    assert (reply.finish_reason, reply.truncated) == (FINISH_REASON_TRUNCATED, True)


def test_the_reply_so_far_can_be_had_at_any_time():
    accumulator = ReplyAccumulator()
    accumulator.add(text("hel"))
    assert [part.text for part in accumulator.reply().message.parts] == ["hel"]
    assert accumulator.reply().finish_reason == FINISH_REASON_TRUNCATED
