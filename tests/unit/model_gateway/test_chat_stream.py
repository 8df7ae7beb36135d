"""Streams of Chat Completions are decoded into our events, with everything that servers do differently."""

from __future__ import annotations

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendOverloaded,
    ModelError,
    ProtocolViolation,
    RateLimited,
)
from clawdbot_servicekit.structs import to_plain

from tests.support.chat_streams import call, read, reply_to, stream_decoder
from tests.support.fake_openai import chunk, sse, text_chunks
from tests.support.generate_requests import finish_of, kinds, text_of


def calls_of(*fragments, finish="tool_calls"):
    """The tool calls of a reply, each fragment in its own chunk."""
    events = reply_to(*(chunk({"tool_calls": [fragment]}) for fragment in fragments), chunk({}, finish))
    found = [part.tool_call for part in accumulate(events).message.parts if part.HasField("tool_call")]
    return [(each.name, to_plain(each.arguments)) for each in found]


def test_each_piece_of_text_is_an_event():
    events = reply_to(*text_chunks("Good", " evening"))
    assert kinds(events) == ["started", "text_delta", "usage", "finished"]
    assert [each.text_delta.text for each in events if each.HasField("text_delta")] == ["Good", " evening"]
    assert events[0].started.model == "fake-1"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_read_from_either_field(field):
    events = reply_to(chunk({field: "hm"}), chunk({"content": "Yes."}), chunk({}, "stop"))
    assert kinds(events) == ["started", "reasoning_delta", "text_delta", "finished"]


def test_reasoning_in_both_fields_is_read_once():
    events = reply_to(chunk({"reasoning_content": "hm", "reasoning": "hm", "content": None}, "stop"))
    assert [each.reasoning_delta.text for each in events if each.HasField("reasoning_delta")] == ["hm"]


def test_content_may_be_a_list_of_parts():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Yes."},
    ]
    events = reply_to(chunk({"content": parts}, "stop"))
    assert kinds(events) == ["started", "reasoning_delta", "text_delta", "finished"]


# Finish reasons


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("insufficient_system_resource", "unknown"),
        *((each, "stop") for each in ("STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE")),
        *((each, "length") for each in ("max_tokens", "MAX_TOKENS", "token_limit")),
        *((each, "context_full") for each in ("model_length", "MODEL_CONTEXT_WINDOW_EXCEEDED")),
        *(
            (each, "content_filter")
            for each in ("content_filter: SAFETY", "guardrail_intervened", "content-filter", "RECITATION")
        ),
        *(
            (each, "model_error")
            for each in ("MALFORMED_RESPONSE", "function_call_filter: MALFORMED_FUNCTION_CALL")
        ),
        ("refusal", "refusal"),
        ("pause_turn", "paused"),
        *((each, "cancelled") for each in ("cancelled", "CANCELED", "user_cancel")),
        ("ERROR_LIMIT", "context_full"),
        ("time_limit", "truncated"),
        ("something_new", "unknown"),
    ],
)
def test_each_finish_reason_is_mapped_and_passed_on(raw, reason):
    events = reply_to(chunk({"content": "Yes."}), chunk({}, raw))
    assert finish_of(events) == reason
    assert events[-1].finished.raw_finish_reason == raw
    assert events[-1].finished.truncated == (reason in {"length", "context_full", "truncated"})


CALLS = ["tool_calls", "function_call", "tool_use", "TOOL_CALL", "tool-calls"]


@pytest.mark.parametrize("raw", CALLS)
def test_each_word_for_tool_calls_is_known(raw):
    events = reply_to(chunk({"tool_calls": [call(0, "c1", "clock_now", "{}")]}), chunk({}, raw))
    assert finish_of(events) == "tool_calls"
    assert events[-1].finished.raw_finish_reason == raw


@pytest.mark.parametrize("raw", CALLS)
@pytest.mark.parametrize(
    "delta", [{"content": "<|tool_call_begin|>clock_now"}, {"tool_calls": "clock_now"}, {}]
)
def test_tool_calls_without_a_call_are_a_model_error(raw, delta):
    events = reply_to(chunk(delta), chunk({}, raw))
    assert finish_of(events) == "model_error"
    assert events[-1].finished.raw_finish_reason == raw


def test_a_stream_that_ends_without_a_reason_is_truncated():
    for done in (True, False):
        events = reply_to(chunk({"content": "Ye"}), done=done)
        assert finish_of(events) == "truncated"
        assert events[-1].finished.truncated
        assert events[-1].finished.raw_finish_reason == ""


def test_a_finish_reason_without_done_ends_the_reply():
    assert finish_of(reply_to(chunk({"content": "Yes."}, "stop"), done=False)) == "stop"


@pytest.mark.parametrize("raw", ["", "null", "None", "FINISH_REASON_UNSPECIFIED", "in_progress", 0, [], {}])
def test_a_finish_reason_that_is_none_yet_is_ignored(raw):
    assert finish_of(reply_to(chunk({"content": "Ye"}, raw))) == "truncated"
    events = reply_to(chunk({"content": "Ye"}, raw), chunk({"content": "s."}, "stop"))
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


def test_a_refusal_is_text_and_the_finish_reason():
    events = reply_to(chunk({"refusal": "I will not."}), chunk({}, "stop"))
    assert (text_of(events), finish_of(events)) == ("I will not.", "refusal")


def test_stop_after_a_forced_call_finishes_with_tool_calls():
    events = reply_to(chunk({"tool_calls": [call(0, "c1", "clock_now", "{}")]}), chunk({}, "stop"))
    assert finish_of(events) == "tool_calls"
    assert events[-1].finished.raw_finish_reason == "stop"


# Tool calls


def test_id_and_name_may_come_only_with_the_first_fragment():
    assert calls_of(
        call(0, "c1", "tables_reserve", ""), call(0, arguments='{"people"'), call(0, arguments=": 4}")
    ) == [("tables.reserve", {"people": 4})]


TWO = [("tables.reserve", {"people": 4}), ("clock.now", {})]


@pytest.mark.parametrize(
    "fragments",
    [
        [call(0, "c1", "tables_reserve", '{"people": 4}'), call(1, "c2", "clock_now", "{}")],
        # No index at all.
        [
            call(None, "c1", "tables_reserve", '{"people":'),
            call(None, arguments=" 4}"),
            call(None, "c2", "clock_now"),
        ],
        # Always 0.
        [
            call(0, "c1", "tables_reserve", '{"people":'),
            call(0, arguments=" 4}"),
            call(0, "c2", "clock_now", "{}"),
        ],
        # The id with every fragment.
        [
            call(0, "c1", "tables_reserve", '{"people":'),
            call(0, "c1", arguments=" 4}"),
            call(1, "c2", "clock_now"),
        ],
        # The id with every fragment, and no index.
        [
            call(None, "c1", "tables_reserve", '{"people":'),
            call(None, "c1", arguments=" 4}"),
            call(None, "c2", "clock_now"),
        ],
        # Interleaved fragments of two calls.
        [
            call(0, "c1", "tables_reserve"),
            call(1, "c2", "clock_now"),
            call(0, arguments='{"people": 4}'),
            call(1, arguments="{}"),
        ],
        # Numbered from 1.
        [call(1, "c1", "tables_reserve", '{"people": 4}'), call(2, "c2", "clock_now", "{}")],
        # No ids at all.
        [call(0, None, "tables_reserve", '{"people": 4}'), call(1, None, "clock_now", "{}")],
        [call(None, None, "tables_reserve", '{"people": 4}'), call(None, None, "clock_now", "{}")],
        # The name after the beginning of the arguments, and arguments as an object.
        [
            call(0, "c1", None, '{"people": 4}'),
            call(0, None, "tables_reserve"),
            call(1, "c2", "clock_now", {}),
        ],
    ],
)
def test_two_calls_stay_apart_however_they_are_numbered(fragments):
    assert calls_of(*fragments) == TWO


def test_a_call_without_an_id_gets_one():
    events = reply_to(chunk({"tool_calls": [call(0, None, "clock_now", "{}")]}), chunk({}, "tool_calls"))
    (call_id,) = [each.tool_call_done.tool_call.id for each in events if each.HasField("tool_call_done")]
    assert call_id.startswith("call_")


@pytest.mark.parametrize("arguments", ["", "null", "{}", "  "])
def test_no_arguments_are_an_empty_object(arguments):
    assert calls_of(call(0, "c1", "clock_now", arguments)) == [("clock.now", {})]


@pytest.mark.parametrize("arguments", ['{"people": ', "[]", "4", '"x"', "{'people': 4}", '{"x": 1e999}'])
def test_arguments_that_are_not_a_json_object_are_a_model_error(arguments):
    events = reply_to(chunk({"tool_calls": [call(0, "c1", "clock_now", arguments)]}), chunk({}, "tool_calls"))
    assert finish_of(events) == "model_error"
    assert events[-1].finished.raw_finish_reason == "tool_calls"
    assert "tool_call_done" not in kinds(events)


def test_a_call_that_met_the_limit_is_incomplete():
    events = reply_to(chunk({"tool_calls": [call(0, "c1", "clock_now", '{"x": ')]}), chunk({}, "length"))
    assert finish_of(events) == "length"
    assert "tool_call_done" not in kinds(events)


def test_the_old_function_call_is_a_tool_call():
    first, rest = (
        {"function_call": each} for each in ({"name": "clock_now", "arguments": "{"}, {"arguments": "}"})
    )
    events = reply_to(chunk(first), chunk(rest), chunk({}, "function_call"))
    assert accumulate(events).message.parts[0].tool_call.name == "clock.now"


def test_an_unknown_tool_keeps_its_name():
    assert calls_of(call(0, "c1", "made_up", "{}")) == [("made_up", {})]


# Errors


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        ({"error": {"message": "busy", "type": "overloaded_error"}}, BackendOverloaded),
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, RateLimited),
        ({"error": {"message": "slow down", "code": 429}}, RateLimited),
        ({"error": {"message": "CUDA error", "code": 500}}, BackendFailed),
        ({"error": "something"}, BackendFailed),
        ({"object": "error", "message": "worker died", "code": 50001}, BackendFailed),
    ],
)
def test_each_error_after_a_200_has_its_class(error, error_class):
    decoder, out = stream_decoder(), []
    with pytest.raises(error_class):
        decoder.feed(sse(chunk({"content": "Ye"}), error), out)
    assert text_of(out) == "Ye"


def test_an_event_named_error_is_an_error():
    with pytest.raises(BackendFailed, match="no room"):
        read(b'event: error\ndata: {"message": "no room"}\n\n')


@pytest.mark.parametrize("event", ["{", "[1]", "nothing", '"x"', "{'a': 1}"])
def test_a_malformed_event_is_an_error(event):
    with pytest.raises(ProtocolViolation):
        read(sse(chunk({"content": "Ye"}), event, chunk({}, "stop")))


def test_a_stream_without_a_reply_is_an_error():
    for nothing in (b"", b": hello\n\n", sse(), sse(chunk({"role": "assistant"}), done=False)):
        with pytest.raises(ModelError):
            read(nothing)


def test_anything_after_done_is_ignored():
    events = read(sse(chunk({"content": "Yes."}, "stop")) + b"data: {broken\n\n")
    assert text_of(events) == "Yes."
