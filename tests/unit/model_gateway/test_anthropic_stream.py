"""Streams of the Messages API are decoded into our events."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import Reasoning
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendOverloaded,
    ModelError,
    ProtocolViolation,
    RateLimited,
)

from tests.support.anthropic_streams import calls_of, read, reply_to, stream_decoder, whole
from tests.support.fake_anthropic import (
    PING,
    begin,
    calls,
    delta,
    end,
    error_event,
    message,
    reply,
    says,
    sse,
    start,
    stop,
    thinks,
    usage,
)
from tests.support.generate_requests import check_grammar, finish_of, kinds, text_of


def usage_of(events):
    found = [each.usage for each in events if each.HasField("usage")]
    return found[0] if found else None


def test_each_piece_of_text_is_an_event():
    events = reply_to(*reply("Good", " evening"))
    assert kinds(events) == ["started", "text_delta", "usage", "finished"]
    assert [each.text_delta.text for each in events if each.HasField("text_delta")] == ["Good", " evening"]
    assert events[0].started.model == "claude-fake-5"


# Finish reasons


@pytest.mark.parametrize(
    ("raw", "reason", "truncated"),
    [
        ("end_turn", "stop", False),
        ("stop_sequence", "stop", False),
        ("max_tokens", "length", True),
        ("model_context_window_exceeded", "context_full", True),
        ("refusal", "refusal", False),
        ("pause_turn", "paused", False),
        ("compaction", "unknown", False),
        ("stop", "stop", False),
        ("length", "length", True),
        ("content_filter", "content_filter", False),
    ],
)
def test_each_stop_reason_has_its_finish_reason_and_is_passed_on(raw, reason, truncated):
    events = reply_to(*reply("Yes.", reason=raw))
    assert finish_of(events) == reason
    assert events[-1].finished.raw_finish_reason == raw
    assert events[-1].finished.truncated == truncated


@pytest.mark.parametrize(("last", "raw"), [([], ""), (end()[:1], "end_turn")])
def test_a_stream_without_message_stop_is_truncated(last, raw):
    events = reply_to(begin(), *says("Ye"), *last)
    assert (finish_of(events), events[-1].finished.raw_finish_reason) == ("truncated", raw)
    assert usage_of(events).provenance == UsageProvenance.USAGE_PROVENANCE_PARTIAL


def test_a_stream_that_stops_without_a_reason_is_truncated():
    assert finish_of(reply_to(begin(), *says("Ye"), {"type": "message_stop"})) == "truncated"


def test_a_refusal_may_come_without_text():
    assert kinds(reply_to(begin(), *end("refusal"))) == ["started", "usage", "finished"]


# Thinking


def test_thinking_keeps_its_signature():
    events = reply_to(begin(), *thinks("Let me", " see."), *says("Yes.", index=1), *end())
    assert [each.reasoning for each in accumulate(events).message.parts if each.HasField("reasoning")] == [
        Reasoning(text="Let me see.", signature=b"c2ln")
    ]


def test_hidden_thinking_has_only_its_signature():
    events = reply_to(begin(), *thinks(), *says("Yes.", index=1), *end())
    assert accumulate(events).message.parts[0].reasoning == Reasoning(signature=b"c2ln")


def test_thinking_blocks_stay_apart_and_may_be_redacted():
    redacted = {"type": "redacted_thinking", "data": "cmVk"}
    events = reply_to(
        begin(),
        *thinks("hm"),
        start(1, redacted),
        stop(1),
        *thinks("so", index=2),
        *says("Yes.", index=3),
        *end(),
    )
    assert [each.reasoning for each in accumulate(events).message.parts[:3]] == [
        Reasoning(text="hm", signature=b"c2ln"),
        Reasoning(signature=b"cmVk", redacted=True),
        Reasoning(text="so", signature=b"c2ln"),
    ]


def test_thinking_that_was_cut_off_has_no_signature():
    cut = [start(0, {"type": "thinking", "thinking": ""}), delta(0, "signature_delta", signature="c2")]
    events = reply_to(begin(), *cut, delta(0, "thinking_delta", thinking="hm"))
    assert accumulate(events).message.parts[0].reasoning == Reasoning(text="hm")


# Tool calls


def test_calls_are_assembled_from_their_fragments():
    events = reply_to(
        begin(),
        *says("One moment."),
        *calls("tables_reserve", '{"peo', 'ple": 4}', call_id="t1", index=1),
        *calls("clock_now", call_id="t2", index=2),
        *end("tool_use"),
    )
    assert calls_of(events) == [("t1", "tables.reserve", {"people": 4}), ("t2", "clock.now", {})]
    assert finish_of(events) == "tool_calls"


def test_a_call_is_done_as_soon_as_its_block_is():
    decoder, out = stream_decoder(), []
    decoder.feed(sse(begin(), *calls("clock_now", "{}")), out)
    assert kinds(out) == ["started", "tool_call_started", "tool_call_delta", "tool_call_done"]


def test_interleaved_blocks_stay_apart():
    (one_start, *one, one_stop), (two_start, *two, two_stop) = (
        calls("tables_reserve", '{"people"', ": 4}", call_id="t1", index=0),
        calls("clock_now", '{"zone"', ": 1}", call_id="t2", index=1),
    )
    mixed = [each for pair in zip(one, two, strict=True) for each in pair]
    events = reply_to(begin(), one_start, two_start, *mixed, one_stop, two_stop, *end("tool_use"))
    assert [each[2] for each in calls_of(events)] == [{"people": 4}, {"zone": 1}]


def test_blocks_without_an_index_follow_one_another():
    numbered = [*calls("tables_reserve", '{"people": 4}'), *calls("clock_now", "{}", call_id="t2", index=1)]
    bare = [{key: each for key, each in event.items() if key != "index"} for event in numbered]
    assert len(calls_of(reply_to(begin(), *bare, *end("tool_use")))) == 2


@pytest.mark.parametrize("ids", [("", ""), (None, None), ("same", "same")])
def test_calls_without_unique_ids_get_new_ones(ids):
    one, two = (calls("clock_now", "{}", call_id=each, index=index) for index, each in enumerate(ids))
    found = calls_of(reply_to(begin(), *one, *two, *end("tool_use")))
    assert found[0][0]
    assert found[1][0].startswith("toolu_")
    assert found[0][0] != found[1][0]


def test_a_hundred_kilobytes_of_arguments_arrive_complete():
    text = json.dumps({"text": "你" * 34_000}, ensure_ascii=False)
    pieces = [text[begin : begin + 100] for begin in range(0, len(text), 100)]
    ((_, _, arguments),) = calls_of(reply_to(begin(), *calls("clock_now", *pieces), *end("tool_use")))
    assert arguments == {"text": "你" * 34_000}


@pytest.mark.parametrize("arguments", ['{"people": ', "[]", "4", "{'people': 4}", '{"x": 1e999}'])
def test_arguments_that_are_not_a_json_object_are_a_model_error(arguments):
    events = reply_to(begin(), *calls("clock_now", arguments), *end("tool_use"))
    assert finish_of(events) == "model_error"
    assert events[-1].finished.raw_finish_reason == "tool_use"
    assert "tool_call_done" not in kinds(events)


@pytest.mark.parametrize("pieces", [(), ('{"x": ',)])
@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "pause_turn", "new"])
def test_a_call_that_met_a_limit_is_incomplete(pieces, reason):
    events = reply_to(begin(), *calls("clock_now", *pieces), *end(reason))
    assert "tool_call_done" not in kinds(events)


def test_a_call_that_was_cut_off_is_incomplete():
    events = reply_to(begin(), *calls("clock_now")[:1])
    assert finish_of(events) == "truncated"
    assert "tool_call_done" not in kinds(events)


def test_end_turn_after_a_call_finishes_with_tool_calls():
    assert finish_of(reply_to(begin(), *calls("clock_now", "{}"), *end("end_turn"))) == "tool_calls"


def test_tool_use_without_a_call_is_a_model_error():
    assert finish_of(reply_to(begin(), *says("Let me see."), *end("tool_use"))) == "model_error"


# Usage


def test_input_tokens_include_those_read_from_the_cache_and_written_to_it():
    counts = usage(7, 1, cache_creation_input_tokens=20, cache_read_input_tokens=100)
    first = {"type": "message_start", "message": message(reason=None, usage=counts)}
    last = end(counts={"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}})
    assert usage_of(reply_to(first, *says("Yes."), *last)) == Usage(
        input_tokens=127,
        cached_tokens=100,
        cache_write_tokens=20,
        output_tokens=9,
        reasoning_tokens=4,
        provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED,
    )


def test_later_counts_replace_earlier_ones():
    early = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2, "input_tokens": None}}
    counted = usage_of(reply_to(begin(), *says("Yes."), early, *end(counts={"output_tokens": 3})))
    assert (counted.input_tokens, counted.output_tokens) == (7, 3)


def test_input_written_to_the_cache_may_be_reported_by_how_long_it_is_kept():
    kept = {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}
    for total in (None, 50):
        counts = usage(7, 1, cache_creation=kept, cache_creation_input_tokens=total)
        events = whole(message({"type": "text", "text": "Yes."}, usage=counts))
        assert (usage_of(events).input_tokens, usage_of(events).cache_write_tokens) == (57, 50)


def test_the_tokens_of_a_compaction_count_although_only_its_round_has_them():
    rounds = [
        {"type": "compaction", "input_tokens": 1000, "cache_read_input_tokens": 200, "output_tokens": 60},
        {"type": "message", "input_tokens": 7, "cache_creation_input_tokens": 5, "output_tokens": 3},
    ]
    counts = usage(7, 3, cache_creation_input_tokens=5, iterations=rounds)
    counted = usage_of(reply_to(begin(), *says("Yes."), *end(counts=counts)))
    assert (counted.input_tokens, counted.cached_tokens, counted.output_tokens) == (1212, 200, 63)
    for nothing in (None, [], [3], "x"):
        events = whole(message({"type": "text", "text": "Yes."}, usage={**counts, "iterations": nothing}))
        assert usage_of(events).input_tokens == 12


@pytest.mark.parametrize("nonsense", [None, "many", [], {"input_tokens": -3, "output_tokens": "two"}])
def test_invalid_usage_counts_nothing(nonsense):
    first = {"type": "message_start", "message": message(reason=None, usage=nonsense)}
    counted = usage_of(reply_to(first, *says("Yes."), *end(counts={})))
    assert counted in (None, Usage(provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED))


# Unknown and malformed events


def test_unknown_events_and_blocks_are_ignored():
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    events = reply_to(
        begin(),
        PING,
        {"type": "weather", "sun": True},
        start(0, search),
        delta(0, "input_json_delta", partial_json='{"query": "x"}'),
        stop(0),
        *says("Yes.", index=1),
        delta(1, "citations_delta", citation={}),
        *end(),
    )
    assert kinds(events) == ["started", "text_delta", "usage", "finished"]


def test_a_stream_without_message_start_reports_the_requested_model():
    events = reply_to(*says("Yes."), *end())
    assert (events[0].started.model, text_of(events)) == ("asked-for", "Yes.")


@pytest.mark.parametrize(
    ("kind", "error_class"),
    [
        ("overloaded_error", BackendOverloaded),
        ("rate_limit_error", RateLimited),
        ("api_error", BackendFailed),
        ("new_error", BackendFailed),
    ],
)
def test_each_error_after_a_200_has_its_class(kind, error_class):
    decoder, out = stream_decoder(), []
    with pytest.raises(error_class):
        decoder.feed(sse(begin(), *says("Ye"), error_event(kind, "no")), out)
    assert text_of(out) == "Ye"


@pytest.mark.parametrize("event", ["{", "[1]", "nothing", '"x"'])
def test_a_malformed_event_is_an_error(event):
    with pytest.raises(ProtocolViolation):
        read(sse(begin(), *says("Ye"), event, *end()))


def test_a_stream_without_a_reply_is_an_error():
    for nothing in (b"", b": hello\n\n", sse(PING), sse(begin()), sse(begin(), {"type": "message_stop"})):
        with pytest.raises(ModelError):
            read(nothing)


def test_anything_after_message_stop_is_ignored():
    assert text_of(read(sse(*reply("Yes.")) + b"data: {broken\n\n")) == "Yes."


# Replies that come at once


def test_a_reply_that_comes_at_once_accumulates_to_the_same():
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Yes."},
        {"type": "tool_use", "id": "toolu_01", "name": "tables_reserve", "input": {"people": 4}},
    ]
    events = whole(message(*content, reason="tool_use"))
    check_grammar(events)
    blocks = [*thinks("hm"), *says("Yes.", index=1), *calls("tables_reserve", '{"people": 4}', index=2)]
    assert accumulate(events) == accumulate(reply_to(begin(), *blocks, *end("tool_use")))


@pytest.mark.parametrize("nothing", [{}, [], None, {"content": "x"}, message(reason=None)])
def test_a_response_without_a_reply_is_an_error(nothing):
    with pytest.raises(ProtocolViolation):
        whole(nothing)


def test_an_error_instead_of_a_reply_has_its_class():
    with pytest.raises(BackendOverloaded):
        whole(error_event("overloaded_error", "Overloaded"))


def test_a_delta_without_a_type_is_known_by_its_field():
    blocks = [*thinks("hm"), *says("Yes.", index=1), *calls("clock_now", "{}", index=2)]
    bare = [
        {**each, "delta": {key: value for key, value in each["delta"].items() if key != "type"}}
        if "delta" in each
        else each
        for each in blocks
    ]
    expected = accumulate(reply_to(begin(), *blocks, *end("tool_use")))
    assert accumulate(reply_to(begin(), *bare, *end("tool_use"))) == expected


def test_a_text_alone_may_be_the_content_of_a_whole_reply():
    events = whole({**message(), "content": "Yes."})
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


def test_an_events_name_counts_if_its_data_has_no_type():
    events = [begin(), *says("Yes."), *calls("clock_now", "{}", index=1), *end("tool_use")]
    stream = "".join(
        f"event: {each['type']}\ndata: {json.dumps({key: each[key] for key in each if key != 'type'})}\n\n"
        for each in events
    )
    assert accumulate(read(stream.encode())) == accumulate(reply_to(*events))


def test_a_whole_reply_at_the_end_of_its_stream_repeats_nothing():
    blocks = [*says("Yes."), *calls("clock_now", "{}", index=1)]
    call = {"type": "tool_use", "id": "toolu_01", "name": "clock_now", "input": {}}
    repeated = message({"type": "text", "text": "Yes."}, call, reason="tool_use")
    events = reply_to(begin(), *blocks, repeated)
    assert (text_of(events), len(calls_of(events)), finish_of(events)) == ("Yes.", 1, "tool_calls")


def test_content_and_reason_may_come_with_the_start_or_the_end_of_the_reply():
    text = {"type": "text", "text": "Yes."}
    stopped, none = {"type": "message_stop"}, {"type": "message_delta", "delta": {"stop_reason": None}}
    for events in (
        [begin(content=[text]), *end()],
        [begin(content=[text], stop_reason="end_turn"), stopped],
        [begin(content=[text]), *says("Yes."), *end()],
        [begin(), *says("Yes."), none, {**stopped, "stop_reason": "end_turn"}],
    ):
        reply = reply_to(*events)
        assert (text_of(reply), finish_of(reply)) == ("Yes.", "stop")
