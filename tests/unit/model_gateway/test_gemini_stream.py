"""The Gemini API's replies as the standard's events, with everything that is particular to them."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_gateway.core.accumulator import fold
from clawdbot_model_gateway.core.errors import BackendOverloaded, ProtocolViolation, RateLimited
from clawdbot_servicekit.structs import to_plain

from tests.support.fake_gemini import call, counts, piece, retry, sse, status, text_pieces
from tests.support.gemini_streams import read, reply_to, whole
from tests.support.generating import finish_of, kinds, text_of


def calls_of(events):
    return [part.tool_call for part in fold(events).message.parts if part.HasField("tool_call")]


def thoughts_of(events):
    return [part.reasoning for part in fold(events).message.parts if part.HasField("reasoning")]


def test_text_comes_in_its_pieces():
    events = reply_to(*text_pieces("Good", " evening"))
    assert kinds(events) == ["started", "text_delta", "usage", "finished"]
    assert [each.text_delta.text for each in events if each.HasField("text_delta")] == ["Good", " evening"]
    assert events[0].started.model == "gemini-3-flash"


def test_a_reply_that_names_no_model_is_of_the_one_asked_for():
    (nameless,) = text_pieces("Yes.")
    del nameless["modelVersion"]
    assert reply_to(nameless)[0].started.model == "asked-for"


def test_the_lines_may_end_as_they_like():
    expected = fold(reply_to(*text_pieces("你", "好")))
    for newline in ("\n", "\r", "\r\n"):
        assert fold(reply_to(*text_pieces("你", "好"), newline=newline)) == expected


# Why it ended

FILTERED = ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "RECITATION", "LANGUAGE"]
FILTERED += ["IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER"]
FAILED = ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "NO_IMAGE", "OTHER"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((each, "content_filter") for each in FILTERED),
        *((each, "model_error") for each in FAILED),
        ("CONTINUATION", "unknown"),
        ("stop", "unknown"),
        ("A_NEW_ONE", "unknown"),
    ],
)
def test_a_finish_reason_has_one_meaning_and_keeps_its_word(raw, reason):
    events = reply_to(piece({"text": "Yes."}), piece(finish=raw))
    assert finish_of(events) == reason
    assert events[-1].finished.raw_finish_reason == raw
    assert events[-1].finished.truncated == (reason == "length")


@pytest.mark.parametrize("word", [None, "", "FINISH_REASON_UNSPECIFIED"])
def test_a_stream_that_ends_without_a_reason_is_truncated(word):
    events = reply_to(piece({"text": "Ye"}, finish=word))
    assert finish_of(events) == "truncated"
    assert events[-1].finished.truncated
    assert events[-1].finished.raw_finish_reason == ""


def test_a_reason_that_comes_with_every_piece_counts_at_the_end():
    events = reply_to(piece({"text": "Ye"}, finish="STOP"), piece({"text": "s"}, finish="MAX_TOKENS"))
    assert (text_of(events), finish_of(events)) == ("Yes", "length")


@pytest.mark.parametrize("word", ["SAFETY", "OTHER", "BLOCKLIST", "JAILBREAK", "A_NEW_ONE"])
def test_a_blocked_prompt_has_no_candidates_and_is_filtered(word):
    blocked = {"promptFeedback": {"blockReason": word}, "usageMetadata": counts(output=None)}
    for events in (reply_to(blocked), whole(blocked)):
        assert kinds(events) == ["started", "usage", "finished"]
        assert finish_of(events) == "content_filter"
        assert events[-1].finished.raw_finish_reason == word


def test_a_prompt_that_was_looked_at_and_passed_is_no_blocked_one():
    feedback = {"safetyRatings": [{"category": "HARM", "probability": "LOW"}]}
    assert finish_of(reply_to(piece({"text": "Yes."}, finish="STOP", promptFeedback=feedback))) == "stop"


def test_an_answer_that_was_filtered_keeps_what_was_said():
    events = reply_to(piece({"text": "Take the"}), piece(finish="SAFETY"))
    assert (text_of(events), finish_of(events)) == ("Take the", "content_filter")


def test_a_candidate_without_an_index_is_the_first_and_others_are_passed_over():
    first, other = piece({"text": "Yes."}, finish="STOP"), piece({"text": "No."}, finish="SAFETY")
    del first["candidates"][0]["index"]
    other["candidates"][0]["index"] = 1
    first["candidates"].insert(0, other["candidates"][0])
    events = reply_to(first)
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


# Tools


def test_a_call_is_whole_at_once_and_stop_means_that_it_is_to_be_run():
    events = reply_to(piece(call("tables_reserve", {"people": 4}, call_id="c1"), finish="STOP"))
    assert kinds(events) == [
        "started",
        "tool_call_started",
        "tool_call_delta",
        "tool_call_done",
        "finished",
    ]
    (found,) = calls_of(events)
    assert (found.id, found.name, to_plain(found.arguments)) == ("c1", "tables.reserve", {"people": 4})
    assert (finish_of(events), events[-1].finished.raw_finish_reason) == ("tool_calls", "STOP")


def test_parallel_calls_keep_their_order_and_each_has_an_id():
    events = reply_to(
        piece(call("tables_reserve", {"people": 4}), call("clock_now")),
        piece(call("clock_now", {}), finish="STOP"),
    )
    found = calls_of(events)
    assert [each.name for each in found] == ["tables.reserve", "clock.now", "clock.now"]
    assert len({each.id for each in found}) == 3
    assert [to_plain(each.arguments) for each in found] == [{"people": 4}, {}, {}]


def test_a_hundred_kilobytes_of_arguments_are_one_call():
    text = "x" * 100_000
    (found,) = calls_of(reply_to(piece(call("clock_now", {"note": text}), finish="STOP")))
    assert to_plain(found.arguments) == {"note": text}


@pytest.mark.parametrize("args", ["{}", [1], 7, {"deep": json.loads("[" * 30 + "]" * 30)}])
def test_arguments_that_are_no_object_are_the_models_error(args):
    events = reply_to(piece(call("clock_now", args), finish="STOP"))
    assert finish_of(events) == "model_error"
    assert calls_of(events) == []


def test_a_call_without_a_name_is_the_models_error():
    assert finish_of(reply_to(piece({"functionCall": {"args": {}}}, finish="STOP"))) == "model_error"


def test_a_reply_that_was_cut_off_wants_no_tool_run():
    assert finish_of(reply_to(piece(call("clock_now"), finish="MAX_TOKENS"))) == "length"
    assert finish_of(reply_to(piece(call("clock_now")))) == "truncated"


# Thoughts and proofs


def test_thoughts_are_reasoning():
    events = reply_to(
        piece({"text": "They", "thought": True}),
        piece({"text": " greet.", "thought": True}),
        piece({"text": "Hi."}, finish="STOP"),
    )
    assert kinds(events) == ["started", "reasoning_delta", "text_delta", "finished"]
    assert [each.text for each in thoughts_of(events)] == ["They greet."]
    assert text_of(events) == "Hi."


def test_a_calls_proof_stays_with_the_call():
    first, second = calls_of(
        reply_to(piece(call("clock_now", signature="c2ln"), call("clock_now"), finish="STOP"))
    )
    assert first.signature
    assert not second.signature


def test_a_proof_with_a_text_or_alone_is_a_thought_behind_it():
    for parts in (
        [{"text": "Hi.", "thoughtSignature": "c2ln"}],
        [{"text": "Hi."}, {"text": "", "thoughtSignature": "c2ln"}],
    ):
        reply = fold(reply_to(*(piece(each) for each in parts), piece(finish="STOP"))).message
        assert [each.WhichOneof("content") for each in reply.parts] == ["text", "reasoning"]
        assert reply.parts[1].reasoning.signature
        assert reply.parts[1].reasoning.text == ""


def test_a_part_of_a_kind_that_the_standard_has_no_place_for_is_passed_over():
    events = reply_to(
        piece({"executableCode": {"language": "PYTHON", "code": "1"}}), piece({"text": "1"}, finish="STOP")
    )
    assert (text_of(events), finish_of(events)) == ("1", "stop")


# Usage


def test_what_was_thought_is_output_and_counted_apart():
    (found,) = [
        each.usage
        for each in reply_to(
            piece({"text": "Yes."}, usage=counts(10, None)),
            piece(
                finish="STOP", usage=counts(10, 3, 5, cachedContentTokenCount=8, toolUsePromptTokenCount=2)
            ),
        )
        if each.HasField("usage")
    ]
    assert found == Usage(
        input_tokens=12,
        cached_tokens=8,
        output_tokens=8,
        reasoning_tokens=5,
        provenance=UsageProvenance.USAGE_PROVENANCE_REPORTED,
    )


def test_sound_is_counted_on_both_sides():
    sound = [{"modality": "TEXT", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 20}]
    usage = counts(
        promptTokensDetails=sound, candidatesTokensDetails=[{"modality": "AUDIO", "tokenCount": 5}]
    )
    assert fold(reply_to(piece({"text": "Yes."}, finish="STOP", usage=usage))).usage.audio_tokens == 25


def test_usage_may_come_early_late_or_not_at_all():
    early = fold(reply_to(piece({"text": "Yes."}, usage=counts()), piece(finish="STOP")))
    late = fold(reply_to(piece({"text": "Yes."}, finish="STOP"), {"usageMetadata": counts()}))
    assert early.usage == late.usage
    assert early.usage.output_tokens == 3
    assert "usage" not in kinds(reply_to(piece({"text": "Yes."}, finish="STOP")))


def test_a_count_that_is_not_repeated_stands():
    first, last = counts(9, None), {"candidatesTokenCount": 3}
    usage = fold(reply_to(piece({"text": "Y"}, usage=first), piece(finish="STOP", usage=last))).usage
    assert (usage.input_tokens, usage.output_tokens) == (9, 3)


def test_a_count_of_a_reply_that_broke_off_is_partial():
    usage = fold(reply_to(piece({"text": "Ye"}, usage=counts(output=None)))).usage
    assert usage.provenance == UsageProvenance.USAGE_PROVENANCE_PARTIAL
    assert usage.input_tokens == 7


# What is no reply


def test_an_error_in_the_stream_is_the_failure_that_it_names():
    with pytest.raises(BackendOverloaded, match="overloaded"):
        read(sse(piece({"text": "Good"}), status(503, "The model is overloaded.")))
    with pytest.raises(RateLimited) as limited:
        read(sse(status(429, "slow down", None, retry("3.5s"))))
    assert limited.value.retry_after == 3.5


@pytest.mark.parametrize(
    "stream", [b"", b"data: {}\n\n", sse({"usageMetadata": counts()}), sse({"candidates": []})]
)
def test_a_stream_that_ends_before_the_reply_is_none(stream):
    with pytest.raises(ProtocolViolation, match="before the reply began"):
        read(stream)


@pytest.mark.parametrize("event", ["{", "[1]", '"text"', "null", "[DONE]"])
def test_an_event_that_is_no_object_breaks_the_protocol(event):
    with pytest.raises(ProtocolViolation):
        read(sse(piece({"text": "Good"}), event))
