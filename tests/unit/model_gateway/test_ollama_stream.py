"""Ollama's lines are decoded into our events, with all their peculiarities."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendOverloaded,
    ContextTooLong,
    ModelError,
    ProtocolViolation,
    RateLimited,
)

from tests.support.fake_ollama import call, last, line, ndjson, text_lines
from tests.support.generate_requests import check_grammar, finish_of, kinds, text_of
from tests.support.ollama_streams import read, reply_to, stream_decoder


def usage_of(events):
    return next((event.usage for event in events if event.WhichOneof("event") == "usage"), None)


def test_a_reply_of_text_is_decoded():
    events = reply_to(*text_lines("Good", " evening", "."))
    assert kinds(events) == ["started", "text_delta", "usage", "finished"]
    assert (text_of(events), events[0].started.model) == ("Good evening.", "fake:latest")


def test_a_reply_may_come_in_one_line_with_or_without_its_end():
    whole = json.dumps(last("stop", {"content": "Good evening."})).encode()
    assert read(whole) == read(whole + b"\n")
    assert text_of(read(whole)) == "Good evening."


SHAPES = {
    "pretty": lambda lines: "\n".join(json.dumps(each, indent=2) for each in lines),
    "with blank lines": lambda lines: "\r\n\r\n".join(json.dumps(each, indent="\t") for each in lines),
    "array": json.dumps,
    "pretty array": lambda lines: json.dumps(lines, indent=4),
    "array of lines": lambda lines: "[" + "\n,".join(map(json.dumps, lines)) + "]\n",
    "byte order mark": lambda lines: "\ufeff" + "\n".join(map(json.dumps, lines)),
    "byte order mark and pretty": lambda lines: "\ufeff\n" + json.dumps(lines, indent=1),
    "events": lambda lines: "".join(f"data: {json.dumps(each)}\n\n" for each in lines),
    "byte order mark and events": lambda lines: "\ufeffdata: " + "\n\ndata: ".join(map(json.dumps, lines)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "lines",
    [
        [*text_lines("Good {", "] evening\n")],
        [last("stop", {"content": "Good evening."})],
        [line({"thinking": "hm"}), line(call("clock_now", {"zone": '"{'})), last()],
    ],
)
def test_a_reply_is_read_in_whatever_shape_its_lines_come(shape, lines):
    expected = accumulate(reply_to(*lines))
    body = SHAPES[shape](lines).encode()
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        events = read(*pieces)
        check_grammar(events)
        found = accumulate(events)
        assert (found.finish_reason, found.usage, len(found.message.parts)) == (
            expected.finish_reason,
            expected.usage,
            len(expected.message.parts),
        )
        assert text_of(events) == text_of(reply_to(*lines))


def test_an_error_is_read_in_any_shape():
    error = {"error": "the input length exceeds the context length"}
    for body in (json.dumps(error, indent=2), json.dumps([error]), "\ufeff" + json.dumps(error)):
        with pytest.raises(ContextTooLong):
            read(body.encode())


def test_thinking_becomes_reasoning():
    events = reply_to(
        line({"thinking": "They "}), line({"thinking": "greet."}), line({"content": "Hi"}), last()
    )
    first, second = accumulate(events).message.parts
    assert (first.reasoning.text, second.text) == ("They greet.", "Hi")


# Finish reasons


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "model_error"),
        ("load", "unknown"),
        ("unload", "unknown"),
        ("tired", "unknown"),
        ("", "truncated"),
        (None, "truncated"),
    ],
)
def test_each_done_reason_is_mapped_and_passed_on(raw, reason):
    events = reply_to(line({"content": "Good"}), last(raw))
    assert (finish_of(events), events[-1].finished.raw_finish_reason) == (reason, raw or "")
    assert events[-1].finished.truncated == (reason in {"length", "truncated"})


def test_stop_after_a_call_finishes_with_tool_calls():
    assert finish_of(reply_to(line(call("clock_now", {})), last("stop"))) == "tool_calls"
    assert finish_of(reply_to(last("stop", call("clock_now", {})))) == "tool_calls"
    assert finish_of(reply_to(line(call("clock_now", {})), last("tool_calls"))) == "tool_calls"
    assert finish_of(reply_to(line(call("clock_now", {})), last("length"))) == "length"


@pytest.mark.parametrize("rest", [b"", b'{"model":"fake","mess', b"\n\n"])
def test_a_stream_that_ends_without_done_is_truncated(rest):
    events = read(ndjson(line({"content": "Good"})) + rest)
    assert (finish_of(events), text_of(events)) == ("truncated", "Good")


def test_a_stream_without_a_reply_is_an_error():
    for nothing in (b"", b"\n", ndjson(line()), b'{"model":'):
        with pytest.raises(ProtocolViolation, match="ended before the reply began"):
            read(nothing)
    with pytest.raises(BackendFailed, match="broke before the reply began"):
        read(ndjson(last(None)))


def test_a_reply_goes_on_after_an_empty_piece_if_every_piece_says_that_it_is_done():
    pieces = [last("stop", {"content": each}) for each in ("Good", "", " evening", "")]
    assert text_of(reply_to(*pieces)) == "Good evening"
    assert text_of(reply_to(*pieces[:2])) == "Good"


def test_an_empty_reply_with_a_reason_is_valid():
    events = reply_to(last("stop"))
    assert kinds(events) == ["started", "usage", "finished"]
    assert finish_of(events) == "stop"


def test_anything_after_the_last_line_is_ignored():
    events = read(ndjson(*text_lines("Good"), {"error": "late"}, "no JSON"))
    assert finish_of(events) == "stop"


# Tool calls


def test_a_call_has_parsed_arguments_and_its_tools_full_name():
    events = reply_to(line(call("tables_reserve", {"people": 4, "window": None}, "call_9")), last())
    assert kinds(events)[1:4] == ["tool_call_started", "tool_call_delta", "tool_call_done"]
    done = accumulate(events).message.parts[0].tool_call
    assert (done.id, done.name) == ("call_9", "tables.reserve")
    assert dict(done.arguments.items()) == {"people": 4, "window": None}


def test_calls_stay_apart_although_each_line_numbers_its_own_from_0():
    one, two = call("clock_now", {}, "a", 0), call("tables_reserve", {"people": 2}, "b", 0)
    both = {
        "tool_calls": [
            *call("clock_now", {}, "c", 0)["tool_calls"],
            *call("clock_now", {}, "d", 1)["tool_calls"],
        ]
    }
    events = reply_to(line(one), line(two), line(both), last())
    calls = [part.tool_call for part in accumulate(events).message.parts]
    assert [(each.id, each.name) for each in calls] == [
        ("a", "clock.now"),
        ("b", "tables.reserve"),
        ("c", "clock.now"),
        ("d", "clock.now"),
    ]


def test_a_call_without_an_id_gets_one():
    events = reply_to(line(call("clock_now", {}, None)), line(call("clock_now", {}, None)), last())
    first, second = (part.tool_call.id for part in accumulate(events).message.parts)
    assert first
    assert second
    assert first != second


def test_a_call_may_come_without_its_list():
    (alone,) = call("clock_now", {"zone": 1})["tool_calls"]
    events = reply_to(line({"tool_calls": alone}), last())
    assert finish_of(events) == "tool_calls"
    assert accumulate(events).message.parts[0].tool_call.arguments_json == '{"zone":1}'


@pytest.mark.parametrize("nothing", [None, {}, "", []])
def test_missing_arguments_are_an_empty_object(nothing):
    events = reply_to(line(call("clock_now", nothing)), last())
    assert not accumulate(events).message.parts[0].tool_call.arguments.fields
    assert finish_of(events) == "tool_calls"


@pytest.mark.parametrize("arguments", [[1], "no JSON", 3, '"text"'])
def test_arguments_that_are_not_an_object_are_a_model_error(arguments):
    assert finish_of(reply_to(line(call("clock_now", arguments)), last())) == "model_error"


def test_a_hundred_kilobytes_of_arguments_arrive_complete():
    note = "x" * 100_000
    events = reply_to(line(call("tables_reserve", {"note": note})), last())
    assert accumulate(events).message.parts[0].tool_call.arguments["note"] == note


# Usage


def test_usage_is_what_ollama_counted():
    assert usage_of(reply_to(*text_lines("Good"))) == Usage(
        input_tokens=7, output_tokens=3, provenance=USAGE_PROVENANCE_REPORTED
    )


def test_usage_without_the_prompts_count_is_partial():
    without = {key: each for key, each in last().items() if key != "prompt_eval_count"}
    usage = usage_of(reply_to(line({"content": "Good"}), without))
    assert (usage.input_tokens, usage.output_tokens, usage.provenance) == (0, 3, USAGE_PROVENANCE_PARTIAL)


def test_usage_of_a_reply_that_broke_off_is_partial():
    assert usage_of(reply_to(line({"content": "G"}), last(""))).provenance == USAGE_PROVENANCE_PARTIAL
    assert usage_of(read(ndjson(line({"content": "G"})))) is None


@pytest.mark.parametrize("count", [-1, 2**60, "seven", True, 1.5, None])
def test_an_invalid_count_is_ignored(count):
    usage = usage_of(reply_to(line({"content": "G"}), last(prompt_eval_count=count, eval_count=count)))
    assert usage is None


# Errors in the stream


@pytest.mark.parametrize(
    ("message", "error_class"),
    [
        ("an error was encountered while running the model: CUDA error", BackendFailed),
        ("the input length exceeds the context length", ContextTooLong),
        ("server busy, please try again.  maximum pending requests exceeded", BackendOverloaded),
    ],
)
def test_an_error_in_the_stream_comes_after_the_text_before_it(message, error_class):
    decoder, out = stream_decoder(), []
    with pytest.raises(error_class) as raised:
        decoder.feed(ndjson(line({"content": "Good"}), {"error": message}), out)
    assert text_of(out) == "Good"
    assert message.split()[0] in raised.value.detail


@pytest.mark.parametrize("field", ["StatusCode", "status_code"])
def test_the_error_of_a_remote_model_keeps_its_status(field):
    limited = {field: 429, "Status": "429 Too Many Requests", "error": "weekly limit reached"}
    with pytest.raises(RateLimited, match="weekly limit"):
        read(ndjson(line({"content": "Good"}), limited))


@pytest.mark.parametrize(
    "noise", ["no JSON", "[1]", "3", "true", '{"model": "x"}', '{"message": "x"}', "data: {}"]
)
def test_a_malformed_line_is_an_error(noise):
    with pytest.raises(ProtocolViolation):
        read(ndjson(line({"content": "Good"}), noise, last()))


def test_an_error_contains_no_key():
    with pytest.raises(ModelError) as raised:
        read(ndjson({"error": "sk-secret-0123456789 is wrong"}))
    assert "sk-secret" not in raised.value.detail


# Servers that imitate the API


@pytest.mark.parametrize("field", ["thinking", "reasoning", "reasoning_content"])
def test_reasoning_may_have_chat_completions_names(field):
    events = reply_to(line({"content": "", field: "Hm."}), line({"content": "Good"}), last())
    assert accumulate(events).message.parts[0].reasoning.text == "Hm."
    assert text_of(events) == "Good"


def test_content_may_be_a_list_of_parts():
    events = reply_to(line({"content": [{"type": "text", "text": "Go"}, {"text": "od"}, 7]}), last())
    assert text_of(events) == "Good"


@pytest.mark.parametrize("field", ["arguments", "parameters", "input", "args"])
@pytest.mark.parametrize("given", [{"people": 4}, '{"people": 4}'])
def test_arguments_may_have_other_names(field, given):
    function = {"name": "tables_reserve", field: given}
    for made in ({"function": function}, function):
        events = reply_to(line({"tool_calls": [made]}), last())
        assert dict(accumulate(events).message.parts[0].tool_call.arguments) == {"people": 4}
