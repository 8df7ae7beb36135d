"""The Responses API's events and whole responses are decoded into our events."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    ContextTooLong,
    ModelError,
    ProtocolViolation,
    RateLimited,
    RequestRefused,
)

from tests.support.fake_responses import (
    call,
    created,
    ended,
    event,
    item_events,
    message,
    reasoning,
    response,
    sse,
    streamed,
    usage,
)
from tests.support.generate_requests import check_grammar, finish_of, kinds, text_of
from tests.support.responses_streams import read, reply_to, response_decoder

BEGUN = (created(), *item_events(0, message("Good"))[:3])
BOOK = call("tables_reserve", '{"people": 4}')
CLOCK = call("clock_now", "{}", "call_2")


def decode_whole(body):
    events = response_decoder().decode_whole(body)
    check_grammar(events)
    return events


def calls_of(events):
    parts = accumulate(events).message.parts
    calls = [each.tool_call for each in parts if each.HasField("tool_call")]
    return [(each.id, each.name, dict(each.arguments.items())) for each in calls]


TWO = [("call_1", "tables.reserve", {"people": 4}), ("call_2", "clock.now", {})]


# Finish reasons


@pytest.mark.parametrize(
    ("body", "reason", "raw"),
    [
        (response(message("Yes.")), "stop", "completed"),
        (response(BOOK), "tool_calls", "completed"),
        (response(message(refusal="No.")), "refusal", "completed"),
        (
            response(message("Y"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "length",
            "incomplete/max_output_tokens",
        ),
        (
            response(message("Y"), status="incomplete", incomplete_details={"reason": "content_filter"}),
            "content_filter",
            "incomplete/content_filter",
        ),
        (
            response(message("Y"), status="incomplete", incomplete_details={"reason": "steered"}),
            "unknown",
            "incomplete/steered",
        ),
        (response(message("Y"), status="incomplete"), "unknown", "incomplete"),
        (
            response(message("Y"), status="failed", error={"code": "server_error", "message": "x"}),
            "model_error",
            "failed/server_error",
        ),
        (response(message("Y"), status="cancelled"), "cancelled", "cancelled"),
        (response(message("Y"), status="new"), "unknown", "new"),
        (response({"type": "computer_call", "id": "cc_1"}), "unknown", "completed/computer_call"),
        (
            response({"type": "tool_search_call", "id": "ts_1", "execution": "client"}),
            "unknown",
            "completed/tool_search_call",
        ),
        (response({"type": "tool_search_call", "id": "ts_1", "execution": "server"}), "stop", "completed"),
        (
            response({"type": "shell_call", "id": "sh_1"}, {"type": "shell_call_output", "id": "so_1"}),
            "stop",
            "completed",
        ),
        (response(call("clock_now", "[]")), "model_error", "completed"),
        (response(call("clock_now", '{"x": 1e999}')), "model_error", "completed"),
    ],
)
def test_each_status_is_mapped_and_passed_on(body, reason, raw):
    events = decode_whole(body)
    assert (finish_of(events), events[-1].finished.raw_finish_reason) == (reason, raw)
    kind = body["status"] if body["status"] != "new" else "completed"
    assert accumulate(reply_to(created(), event(kind, response=body))) == accumulate(events)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("max_tokens", "length"),
        ("LENGTH", "length"),
        ("model_context_window_exceeded", "context_full"),
        ("content_filter: SAFETY", "content_filter"),
        ("pause_turn", "paused"),
        ("time-limit", "truncated"),
        ("completion/steered", "unknown"),
    ],
)
def test_a_reply_is_incomplete_for_a_reason_in_any_vendors_words(said, reason):
    events = decode_whole(response(message("Y"), status="incomplete", incomplete_details={"reason": said}))
    assert (finish_of(events), events[-1].finished.raw_finish_reason) == (reason, f"incomplete/{said}")


@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n"])
def test_a_stream_without_its_last_event_is_truncated(newline):
    for sent in (BEGUN, (*BEGUN, "[DONE]")):
        events = reply_to(*sent, newline=newline)
        assert (finish_of(events), text_of(events)) == ("truncated", "Good")
        assert events[-1].finished.truncated


def test_a_call_that_broke_off_is_incomplete():
    events = reply_to(created(), *item_events(0, BOOK)[:2])
    assert finish_of(events) == "truncated"
    assert calls_of(events) == []


def test_a_call_that_met_the_limit_is_incomplete():
    half = call("tables_reserve", '{"people"', status="incomplete")
    end = ended(half, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    events = reply_to(created(), *item_events(0, half), end)
    assert finish_of(events) == "length"
    assert calls_of(events) == []


def test_anything_after_the_last_event_is_ignored():
    events = read(sse(*streamed(message("Yes."))) + b"data: {broken\n\n")
    assert finish_of(events) == "stop"


# Items


def test_reasoning_text_and_calls_keep_their_order():
    events = reply_to(*streamed(reasoning("Hm.", "So."), message("Yes."), BOOK, CLOCK))
    parts = accumulate(events).message.parts
    assert [each.WhichOneof("content") for each in parts] == ["reasoning", "text", "tool_call", "tool_call"]
    assert parts[0].reasoning.text == "Hm.\n\nSo."
    assert parts[0].reasoning.signature
    assert calls_of(events) == TWO


def test_hidden_reasoning_keeps_its_encrypted_content():
    (part,) = accumulate(reply_to(*streamed(reasoning()))).message.parts
    assert part.reasoning.text == ""
    assert b"gAAA:x=" in part.reasoning.signature


def test_reasoning_without_encrypted_content_is_only_text():
    events = reply_to(*streamed(reasoning("Hm.", encrypted=None)))
    assert accumulate(events).message.parts[0].reasoning.signature == b""


def test_interleaved_items_stay_apart_by_their_index():
    first, second = item_events(0, BOOK), item_events(1, CLOCK)
    mixed = [each for pair in zip(first, second, strict=False) for each in pair] + first[len(second) :]
    assert sorted(calls_of(reply_to(created(), *mixed, ended(BOOK, CLOCK)))) == TWO


@pytest.mark.parametrize("lost", ["item_id", "output_index"])
def test_items_are_identified_by_index_or_id(lost):
    sent = [
        {name: value for name, value in each.items() if name != lost or "item" in each}
        for each in streamed(message("Yes."), BOOK, CLOCK)
    ]
    events = reply_to(*sent)
    assert text_of(events) == "Yes."
    assert calls_of(events) == TWO


def test_an_id_that_changes_with_every_event_is_ignored():
    sent = [{**each, "item_id": f"x{number}"} for number, each in enumerate(streamed(message("Yes."), BOOK))]
    events = reply_to(*sent)
    assert text_of(events) == "Yes."
    assert calls_of(events) == TWO[:1]


def test_items_without_deltas_are_taken_from_the_last_event():
    for sent in (
        [ended(message("Yes."), BOOK)],
        [*item_events(0, message("Yes."))[-1:], ended(message("Yes."), BOOK)],
    ):
        events = reply_to(created(), *sent)
        assert text_of(events) == "Yes."
        assert calls_of(events) == TWO[:1]


def test_a_call_without_an_id_gets_one():
    bare = {**CLOCK, "call_id": None}
    ((call_id, name, _),) = calls_of(reply_to(*streamed(bare)))
    assert call_id.startswith("call_")
    assert name == "clock.now"


def test_unknown_events_and_items_are_ignored():
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    sent = [created(), event("web_search_call.searching", output_index=0, item_id="ws_1"), event("new.thing")]
    output = [search, message("Yes.")]
    events = reply_to(*sent, *item_events(1, output[1]), ended(*output))
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


# Usage


def test_all_counts_of_usage_are_decoded():
    events = decode_whole(response(message("Yes."), usage=usage(9, 5, cached=4, cache_write=2, reasoning=3)))
    assert events[-2].usage == Usage(
        input_tokens=9,
        cached_tokens=4,
        cache_write_tokens=2,
        output_tokens=5,
        reasoning_tokens=3,
        provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED,
    )


@pytest.mark.parametrize("nonsense", [None, "many", [], 3])
def test_invalid_usage_is_ignored(nonsense):
    assert "usage" not in kinds(decode_whole(response(message("Yes."), usage=nonsense)))


# Errors


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        ("server_error", BackendFailed),
        ("rate_limit_exceeded", RateLimited),
        ("context_length_exceeded", ContextTooLong),
        ("invalid_prompt", RequestRefused),
        ("bio_policy", RequestRefused),
        ("image_too_large", RequestRefused),
        ("new", BackendFailed),
        (None, BackendFailed),
    ],
)
def test_each_error_after_a_200_has_its_class_and_contains_no_key(code, error_class):
    error = {"code": code, "message": "no: sk-secret-0123456789", "param": None}
    for sent in (
        [*BEGUN, {"type": "error", **error}],
        [*BEGUN, {"type": "error", "error": error}],
        [created(), ended(status="failed", error=error)],
    ):
        with pytest.raises(error_class) as raised:
            read(sse(*sent))
        assert "sk-secret" not in str(raised.value)


@pytest.mark.parametrize("error", [None, {}, "", []])
def test_a_reply_that_failed_without_content_is_an_error_even_if_no_reason_is_given(error):
    for sent in ([ended(status="failed", error=error)], [created(), event("failed")]):
        with pytest.raises(BackendFailed):
            read(sse(*sent))
    with pytest.raises(BackendFailed):
        decode_whole(response(status="failed", error=error))


@pytest.mark.parametrize("code", ["invalid_request_error", "invalid_prompt_size", "server_error", None])
def test_a_message_that_says_more_than_the_code_decides(code):
    error = {"code": code, "message": "Your input exceeds the context window of this model."}
    for sent in ([{"type": "error", **error}], [ended(status="failed", error=error)]):
        with pytest.raises(ContextTooLong):
            read(sse(*sent))


def test_a_failed_reply_keeps_the_text_before_its_end():
    end = ended(status="failed", error={"code": "server_error", "message": "x"})
    events = reply_to(*BEGUN, end)
    assert (text_of(events), finish_of(events)) == ("Good", "model_error")
    assert events[-1].finished.raw_finish_reason == "failed/server_error"


@pytest.mark.parametrize("broken", ["{", "[1]", "nothing", '"x"'])
def test_a_malformed_event_is_an_error(broken):
    with pytest.raises(ProtocolViolation):
        read(sse(*BEGUN, broken, ended(message("Good"))))


def test_a_stream_without_a_reply_is_an_error():
    for nothing in (b"", b": hello\n\n", sse("[DONE]"), sse(created())):
        with pytest.raises(ModelError):
            read(nothing)


@pytest.mark.parametrize("body", [[], {}, {"output": []}, {"status": "completed"}, {"error": "no"}])
def test_an_invalid_response_is_an_error(body):
    with pytest.raises(ModelError):
        response_decoder().decode_whole(body)
