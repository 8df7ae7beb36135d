"""What Ollama's lines mean, one habit at a time."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_REPORTED, Usage
from clawdbot_model_gateway.core.accumulator import fold
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendOverloaded,
    ContextTooLong,
    ModelFailure,
    ProtocolViolation,
    RateLimited,
)

from tests.support.fake_ollama import call, last, line, ndjson, text_lines
from tests.support.generating import finish_of, kinds, text_of
from tests.support.ollama_streams import read, reply_to, stream_of


def usage_of(events):
    return next((event.usage for event in events if event.WhichOneof("event") == "usage"), None)


def test_a_reply_of_text():
    events = reply_to(*text_lines("Good", " evening", "."))
    assert kinds(events) == ["started", "text_delta", "usage", "finished"]
    assert (text_of(events), events[0].started.model) == ("Good evening.", "fake:latest")


def test_a_reply_may_come_in_one_line_with_or_without_its_end():
    whole = json.dumps(last("stop", {"content": "Good evening."})).encode()
    assert read(whole) == read(whole + b"\n")
    assert text_of(read(whole)) == "Good evening."


def test_thoughts_are_told_apart_from_words():
    events = reply_to(
        line({"thinking": "They "}), line({"thinking": "greet."}), line({"content": "Hi"}), last()
    )
    thought, said = fold(events).message.parts
    assert (thought.reasoning.text, said.text) == ("They greet.", "Hi")


# Why it ended


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("load", "unknown"),
        ("unload", "unknown"),
        ("tired", "unknown"),
        ("", "truncated"),
        (None, "truncated"),
    ],
)
def test_each_reason_has_its_meaning_and_its_word(word, reason):
    events = reply_to(line({"content": "Good"}), last(word))
    assert (finish_of(events), events[-1].finished.raw_finish_reason) == (reason, word or "")
    assert events[-1].finished.truncated == (reason in {"length", "truncated"})


def test_a_stop_after_a_call_is_a_call():
    assert finish_of(reply_to(line(call("clock_now", {})), last("stop"))) == "tool_calls"
    assert finish_of(reply_to(last("stop", call("clock_now", {})))) == "tool_calls"
    assert finish_of(reply_to(line(call("clock_now", {})), last("length"))) == "length"


@pytest.mark.parametrize("rest", [b"", b'{"model":"fake","mess', b"\n\n"])
def test_a_stream_that_ends_without_done_is_truncated(rest):
    events = read(ndjson(line({"content": "Good"})) + rest)
    assert (finish_of(events), text_of(events)) == ("truncated", "Good")


def test_a_stream_that_ends_before_it_began_is_a_failure():
    for nothing in (b"", b"\n", ndjson(line()), b'{"model":'):
        with pytest.raises(ProtocolViolation, match="ended before the reply began"):
            read(nothing)
    with pytest.raises(BackendFailed, match="broke before the reply began"):
        read(ndjson(last(None)))


def test_an_empty_reply_with_a_reason_is_one():
    events = reply_to(last("stop"))
    assert kinds(events) == ["started", "usage", "finished"]
    assert finish_of(events) == "stop"


def test_nothing_is_read_after_the_last_line():
    events = read(ndjson(*text_lines("Good"), {"error": "late"}, "no JSON"))
    assert finish_of(events) == "stop"


# Tool calls


def test_arguments_are_an_object_and_names_are_ours():
    events = reply_to(line(call("tables_reserve", {"people": 4, "window": None}, "call_9")), last())
    assert kinds(events)[1:4] == ["tool_call_started", "tool_call_delta", "tool_call_done"]
    done = fold(events).message.parts[0].tool_call
    assert (done.id, done.name) == ("call_9", "tables.reserve")
    assert dict(done.arguments.items()) == {"people": 4, "window": None}


def test_calls_are_counted_by_us_as_each_line_numbers_its_own_from_0():
    one, two = call("clock_now", {}, "a", 0), call("tables_reserve", {"people": 2}, "b", 0)
    both = {
        "tool_calls": [
            *call("clock_now", {}, "c", 0)["tool_calls"],
            *call("clock_now", {}, "d", 1)["tool_calls"],
        ]
    }
    events = reply_to(line(one), line(two), line(both), last())
    calls = [part.tool_call for part in fold(events).message.parts]
    assert [(each.id, each.name) for each in calls] == [
        ("a", "clock.now"),
        ("b", "tables.reserve"),
        ("c", "clock.now"),
        ("d", "clock.now"),
    ]


def test_a_call_without_an_id_gets_one_of_its_own():
    events = reply_to(line(call("clock_now", {}, None)), line(call("clock_now", {}, None)), last())
    first, second = (part.tool_call.id for part in fold(events).message.parts)
    assert first
    assert second
    assert first != second


@pytest.mark.parametrize("nothing", [None, {}, ""])
def test_a_tool_without_arguments_may_get_none(nothing):
    events = reply_to(line(call("clock_now", nothing)), last())
    assert not fold(events).message.parts[0].tool_call.arguments.fields
    assert finish_of(events) == "tool_calls"


@pytest.mark.parametrize("arguments", [[1], "no JSON", 3, '"text"'])
def test_arguments_that_are_no_object_are_the_models_error(arguments):
    assert finish_of(reply_to(line(call("clock_now", arguments)), last())) == "model_error"


def test_arguments_may_be_long():
    note = "x" * 100_000
    events = reply_to(line(call("tables_reserve", {"note": note})), last())
    assert fold(events).message.parts[0].tool_call.arguments["note"] == note


# Usage


def test_usage_is_what_ollama_counted():
    assert usage_of(reply_to(*text_lines("Good"))) == Usage(
        input_tokens=7, output_tokens=3, provenance=USAGE_PROVENANCE_REPORTED
    )


def test_a_prompt_that_was_all_cached_is_not_counted():
    without = {key: each for key, each in last().items() if key != "prompt_eval_count"}
    told = usage_of(reply_to(line({"content": "Good"}), without))
    assert (told.input_tokens, told.output_tokens, told.provenance) == (0, 3, USAGE_PROVENANCE_PARTIAL)


def test_usage_of_a_reply_that_broke_off_is_partial():
    assert usage_of(reply_to(line({"content": "G"}), last(""))).provenance == USAGE_PROVENANCE_PARTIAL
    assert usage_of(read(ndjson(line({"content": "G"})))) is None


@pytest.mark.parametrize("count", [-1, 2**60, "7", True, 1.5, None])
def test_what_is_no_count_is_not_counted(count):
    told = usage_of(reply_to(line({"content": "G"}), last(prompt_eval_count=count, eval_count=count)))
    assert told is None


# Errors in the stream


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("an error was encountered while running the model: CUDA error", BackendFailed),
        ("the input length exceeds the context length", ContextTooLong),
        ("server busy, please try again.  maximum pending requests exceeded", BackendOverloaded),
    ],
)
def test_an_error_in_the_stream_comes_after_what_was_said(sentence, kind):
    stream, found = stream_of(), []
    with pytest.raises(kind) as failed:
        stream.feed(ndjson(line({"content": "Good"}), {"error": sentence}), found)
    assert text_of(found) == "Good"
    assert sentence.split()[0] in failed.value.detail


def test_the_error_of_a_model_that_runs_elsewhere_keeps_its_status():
    limited = {"StatusCode": 429, "Status": "429 Too Many Requests", "error": "weekly limit reached"}
    with pytest.raises(RateLimited, match="weekly limit"):
        read(ndjson(line({"content": "Good"}), limited))


@pytest.mark.parametrize(
    "noise", ["no JSON", "[]", "3", "null", '{"model": "x"}', '{"message": "x"}', "data: {}"]
)
def test_what_is_no_line_of_a_reply_is_a_violation(noise):
    with pytest.raises(ProtocolViolation):
        read(ndjson(line({"content": "Good"}), noise, last()))


def test_an_error_tells_no_key():
    with pytest.raises(ModelFailure) as failed:
        read(ndjson({"error": "sk-secret-0123456789 is wrong"}))
    assert "sk-secret" not in failed.value.detail
