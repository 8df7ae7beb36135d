"""The Gemini API's replies are decoded into our events, with all their peculiarities."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.usage_pb2 import Usage, UsageProvenance
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import BackendOverloaded, ProtocolViolation, RateLimited
from clawdbot_servicekit.structs import to_plain

from tests.support.fake_gemini import call, chunk, counts, retry, sse, status, text_chunks
from tests.support.gemini_streams import read, reply_to, stream_decoder, whole
from tests.support.generate_requests import finish_of, kinds, text_of


def calls_of(events):
    return [part.tool_call for part in accumulate(events).message.parts if part.HasField("tool_call")]


def thoughts_of(events):
    return [part.reasoning for part in accumulate(events).message.parts if part.HasField("reasoning")]


def test_each_piece_of_text_is_an_event():
    events = reply_to(*text_chunks("Good", " evening"))
    assert kinds(events) == ["started", "text_delta", "usage", "finished"]
    assert [each.text_delta.text for each in events if each.HasField("text_delta")] == ["Good", " evening"]
    assert events[0].started.model == "gemini-3-flash"


def test_a_reply_that_names_no_model_reports_the_requested_one():
    (nameless,) = text_chunks("Yes.")
    del nameless["modelVersion"]
    assert reply_to(nameless)[0].started.model == "asked-for"


def test_any_line_end_gives_the_same_reply():
    expected = accumulate(reply_to(*text_chunks("你", "好")))
    for newline in ("\n", "\r", "\r\n"):
        assert accumulate(reply_to(*text_chunks("你", "好"), newline=newline)) == expected


# Finish reasons

FILTERED = ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "RECITATION", "LANGUAGE"]
FILTERED += ["IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "MODEL_ARMOR"]
FAILED = ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "NO_IMAGE", "OTHER"]
FAILED += ["MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((each, "content_filter") for each in FILTERED),
        *((each, "model_error") for each in FAILED),
        ("CONTINUATION", "unknown"),
        ("stop", "stop"),
        ("FinishReason.MAX_TOKENS", "length"),
        ("FINISH_REASON_SAFETY", "content_filter"),
        ("A_NEW_ONE", "unknown"),
    ],
)
def test_each_finish_reason_is_mapped_and_passed_on(raw, reason):
    events = reply_to(chunk({"text": "Yes."}), chunk(finish=raw))
    assert finish_of(events) == reason
    assert events[-1].finished.raw_finish_reason == raw
    assert events[-1].finished.truncated == (reason == "length")


@pytest.mark.parametrize("raw", [None, "", "FINISH_REASON_UNSPECIFIED"])
def test_a_stream_that_ends_without_a_reason_is_truncated(raw):
    events = reply_to(chunk({"text": "Ye"}, finish=raw))
    assert finish_of(events) == "truncated"
    assert events[-1].finished.truncated
    assert events[-1].finished.raw_finish_reason == ""


def test_the_last_of_several_finish_reasons_counts():
    events = reply_to(chunk({"text": "Ye"}, finish="STOP"), chunk({"text": "s"}, finish="MAX_TOKENS"))
    assert (text_of(events), finish_of(events)) == ("Yes", "length")


@pytest.mark.parametrize(
    ("pieces", "over"),
    [
        ([("Hi", None), ("", "STOP")], True),
        ([("Hi", None), (" you", "STOP")], True),
        ([("Hi", "STOP"), ("", "STOP")], False),
        ([("Hi", "STOP"), (" you", "STOP"), ("", "STOP")], False),
        ([("Hi", None), ("", "STOP"), (" you", "STOP"), ("", "STOP")], False),
        ([("", "STOP"), ("Hi", "STOP")], False),
    ],
)
def test_a_reason_with_every_piece_does_not_say_that_the_reply_is_over(pieces, over):
    for thought in (False, True):
        decoder = stream_decoder()
        decoder.feed(
            sse(*(chunk({"text": text, "thought": thought}, finish=end) for text, end in pieces)), []
        )
        assert (decoder.may_end, decoder.awaiting_end) == (True, over)


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST", "JAILBREAK", "A_NEW_ONE"])
def test_a_blocked_prompt_finishes_with_content_filter(reason):
    blocked = {"promptFeedback": {"blockReason": reason}, "usageMetadata": counts(output=None)}
    for events in (reply_to(blocked), whole(blocked)):
        assert kinds(events) == ["started", "usage", "finished"]
        assert finish_of(events) == "content_filter"
        assert events[-1].finished.raw_finish_reason == reason


def test_feedback_without_a_block_reason_is_ignored():
    feedback = {"safetyRatings": [{"category": "HARM", "probability": "LOW"}]}
    assert finish_of(reply_to(chunk({"text": "Yes."}, finish="STOP", promptFeedback=feedback))) == "stop"


def test_a_filtered_reply_keeps_its_text():
    events = reply_to(chunk({"text": "Take the"}), chunk(finish="SAFETY"))
    assert (text_of(events), finish_of(events)) == ("Take the", "content_filter")


@pytest.mark.parametrize("index", ["0", None, -1, "x", [], 0.0])
def test_a_candidate_whose_index_is_no_number_is_the_first(index):
    first = chunk({"text": "Yes."}, finish="STOP")
    first["candidates"][0]["index"] = index
    assert text_of(reply_to(first)) == "Yes."


@pytest.mark.parametrize(
    "content",
    [
        {"parts": {"text": "Yes."}},
        [{"parts": [{"text": "Yes."}]}],
        [{"parts": {"text": "Ye"}}, {"parts": {"text": "s."}}],
    ],
)
def test_a_list_of_one_may_be_left_out_or_be_one_too_many(content):
    chunk_of = {"candidates": [{"content": content, "finishReason": "STOP"}]}
    for events in (reply_to(chunk_of), whole(chunk_of)):
        assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


def test_a_candidate_without_an_index_is_the_first_and_others_are_ignored():
    first, other = chunk({"text": "Yes."}, finish="STOP"), chunk({"text": "No."}, finish="SAFETY")
    del first["candidates"][0]["index"]
    other["candidates"][0]["index"] = 1
    first["candidates"].insert(0, other["candidates"][0])
    events = reply_to(first)
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


# Tools


def test_a_call_comes_at_once_and_stop_after_it_finishes_with_tool_calls():
    events = reply_to(chunk(call("tables_reserve", {"people": 4}, call_id="c1"), finish="STOP"))
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
        chunk(call("tables_reserve", {"people": 4}), call("clock_now")),
        chunk(call("clock_now", {}), finish="STOP"),
    )
    found = calls_of(events)
    assert [each.name for each in found] == ["tables.reserve", "clock.now", "clock.now"]
    assert len({each.id for each in found}) == 3
    assert [to_plain(each.arguments) for each in found] == [{"people": 4}, {}, {}]


def test_a_hundred_kilobytes_of_arguments_arrive_complete():
    text = "x" * 100_000
    (found,) = calls_of(reply_to(chunk(call("clock_now", {"note": text}), finish="STOP")))
    assert to_plain(found.arguments) == {"note": text}


def test_arguments_may_be_text_or_missing():
    for args, expected in (('{"people": 4}', {"people": 4}), ("", {}), (None, {}), ({}, {}), ([], {})):
        events = reply_to(chunk(call("clock_now", args), finish="STOP"))
        assert [to_plain(each.arguments) for each in calls_of(events)] == [expected]
        assert finish_of(events) == "tool_calls"


@pytest.mark.parametrize(
    "args",
    [
        "[]",
        "people",
        "4",
        '{"people"',
        [1],
        [{"people": 4}],
        7,
        0,
        False,
        {"deep": json.loads("[" * 30 + "]" * 30)},
    ],
)
def test_arguments_that_are_not_an_object_are_a_model_error(args):
    events = reply_to(chunk(call("clock_now", args), finish="STOP"))
    assert finish_of(events) == "model_error"
    assert calls_of(events) == []


def test_a_call_without_a_name_is_a_model_error():
    for nameless in ({"args": {}}, {}, [], "clock_now", 0):
        assert finish_of(reply_to(chunk({"functionCall": nameless}, finish="STOP"))) == "model_error"


def test_a_reply_that_was_cut_off_does_not_finish_with_tool_calls():
    assert finish_of(reply_to(chunk(call("clock_now"), finish="MAX_TOKENS"))) == "length"
    assert finish_of(reply_to(chunk(call("clock_now")))) == "truncated"


# Thoughts and their signatures


def test_thoughts_are_reasoning():
    events = reply_to(
        chunk({"text": "They", "thought": True}),
        chunk({"text": " greet.", "thought": True}),
        chunk({"text": "Hi."}, finish="STOP"),
    )
    assert kinds(events) == ["started", "reasoning_delta", "text_delta", "finished"]
    assert [each.text for each in thoughts_of(events)] == ["They greet."]
    assert text_of(events) == "Hi."


def test_a_calls_signature_stays_with_the_call():
    first, second = calls_of(
        reply_to(chunk(call("clock_now", signature="c2ln"), call("clock_now"), finish="STOP"))
    )
    assert first.signature
    assert not second.signature


def test_a_signature_with_a_text_or_alone_becomes_reasoning_after_it():
    for parts in (
        [{"text": "Hi.", "thoughtSignature": "c2ln"}],
        [{"text": "Hi."}, {"text": "", "thoughtSignature": "c2ln"}],
    ):
        reply = accumulate(reply_to(*(chunk(each) for each in parts), chunk(finish="STOP"))).message
        assert [each.WhichOneof("content") for each in reply.parts] == ["text", "reasoning"]
        assert reply.parts[1].reasoning.signature
        assert reply.parts[1].reasoning.text == ""


@pytest.mark.parametrize("half", ["\ud83d", "x\ude00"])
def test_half_a_character_does_no_harm_anywhere(half):
    thought = {"text": half, "thought": True, "thoughtSignature": half}
    text = {"text": f"Hi{half}", "thoughtSignature": half}
    called = {"functionCall": {"id": half, "name": half, "args": {half: half}}, "thoughtSignature": half}
    parts = [json.dumps(chunk(each, modelVersion=half)) for each in (thought, text, called)]
    for last in (chunk(finish=half), {"promptFeedback": {"blockReason": half}}):
        events = reply_to(*parts, json.dumps(last))
        assert "\ufffd" in events[-1].finished.raw_finish_reason
        assert text_of(events).startswith("Hi")
        assert len(calls_of(events)) == 1


def test_a_part_of_an_unsupported_kind_is_ignored():
    events = reply_to(
        chunk({"executableCode": {"language": "PYTHON", "code": "1"}}), chunk({"text": "1"}, finish="STOP")
    )
    assert (text_of(events), finish_of(events)) == ("1", "stop")


# Usage


def test_thoughts_count_as_output_and_as_reasoning():
    (found,) = [
        each.usage
        for each in reply_to(
            chunk({"text": "Yes."}, usage=counts(10, None)),
            chunk(
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


def test_audio_is_counted_in_prompt_and_reply():
    prompt = [{"modality": "TEXT", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 20}]
    usage = counts(
        promptTokensDetails=prompt, candidatesTokensDetails=[{"modality": "AUDIO", "tokenCount": 5}]
    )
    assert accumulate(reply_to(chunk({"text": "Yes."}, finish="STOP", usage=usage))).usage.audio_tokens == 25


def test_usage_may_come_early_late_or_not_at_all():
    early = accumulate(reply_to(chunk({"text": "Yes."}, usage=counts()), chunk(finish="STOP")))
    late = accumulate(reply_to(chunk({"text": "Yes."}, finish="STOP"), {"usageMetadata": counts()}))
    assert early.usage == late.usage
    assert early.usage.output_tokens == 3
    assert "usage" not in kinds(reply_to(chunk({"text": "Yes."}, finish="STOP")))


def test_a_count_that_is_not_repeated_is_kept():
    first, last = counts(9, None), {"candidatesTokenCount": 3}
    usage = accumulate(reply_to(chunk({"text": "Y"}, usage=first), chunk(finish="STOP", usage=last))).usage
    assert (usage.input_tokens, usage.output_tokens) == (9, 3)


def test_usage_of_a_reply_that_broke_off_is_partial():
    usage = accumulate(reply_to(chunk({"text": "Ye"}, usage=counts(output=None)))).usage
    assert usage.provenance == UsageProvenance.USAGE_PROVENANCE_PARTIAL
    assert usage.input_tokens == 7


# Errors


def test_an_error_in_the_stream_has_its_class():
    with pytest.raises(BackendOverloaded, match="overloaded"):
        read(sse(chunk({"text": "Good"}), status(503, "The model is overloaded.")))
    with pytest.raises(RateLimited) as limited:
        read(sse(status(429, "slow down", None, retry("3.5s"))))
    assert limited.value.retry_after == 3.5


@pytest.mark.parametrize(
    "stream", [b"", b"data: {}\n\n", sse({"usageMetadata": counts()}), sse({"candidates": []})]
)
def test_a_stream_without_a_reply_is_an_error(stream):
    with pytest.raises(ProtocolViolation, match="before the reply began"):
        read(stream)


@pytest.mark.parametrize("event", ["{", "[1]", '"text"', "true", "[DONE]"])
def test_an_event_that_is_not_a_json_object_is_an_error(event):
    with pytest.raises(ProtocolViolation):
        read(sse(chunk({"text": "Good"}), event))


# Servers that imitate the API


@pytest.mark.parametrize(
    "content", ["Yes.", {"parts": ["Yes."]}, {"parts": "Yes."}, [{"parts": ["Y", "es."]}]]
)
def test_a_text_may_stand_for_a_part_or_all_content(content):
    events = reply_to({"candidates": [{"content": content, "finishReason": "STOP"}]})
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


def test_a_reply_may_be_wrapped_in_a_response():
    events = reply_to({"response": chunk({"text": "Yes."})}, {"response": chunk(finish="STOP")})
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


@pytest.mark.parametrize("thought", [{"text": "Hm.", "thought": "true"}, {"thought": "Hm."}])
def test_a_thought_may_be_marked_with_a_text(thought):
    events = reply_to(chunk(thought), chunk({"text": "Yes.", "thought": "false"}, finish="STOP"))
    assert accumulate(events).message.parts[0].reasoning.text == "Hm."
    assert text_of(events) == "Yes."


def test_a_call_that_is_sent_twice_under_one_id_is_one():
    once = call("clock_now", {"zone": "UTC"}, call_id="c1")
    other = call("clock_now", {"zone": "CET"}, call_id="c1")
    assert len(calls_of(reply_to(chunk(once), chunk(once, finish="STOP")))) == 1
    assert len(calls_of(reply_to(chunk(once), chunk(other, finish="STOP")))) == 2
    nameless = call("clock_now", {}, call_id=None)
    assert len(calls_of(reply_to(chunk(nameless, nameless, finish="STOP")))) == 2
