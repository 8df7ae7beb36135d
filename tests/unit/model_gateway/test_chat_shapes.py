"""Replies of servers that imitate Chat Completions, in the shapes of its predecessor and of other APIs."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_client.accumulator import accumulate

from tests.support.chat_streams import read, reply_to, response_decoder
from tests.support.fake_openai import chunk, completion
from tests.support.generate_requests import finish_of, text_of


def thoughts_in(events):
    return "".join(part.reasoning.text for part in accumulate(events).message.parts)


@pytest.mark.parametrize(
    "content",
    [
        "Hi",
        ["Hi"],
        {"type": "text", "text": "Hi"},
        [{"type": "output_text", "text": "H"}, {"text": "i"}],
        ["H", {"type": "text", "text": "i"}],
    ],
)
def test_content_may_be_text_a_part_or_a_list_of_either(content):
    assert text_of(reply_to(chunk({"content": content}, "stop"))) == "Hi"
    assert text_of(response_decoder().decode_whole(completion({"content": content}))) == "Hi"


def test_a_choice_may_have_a_bare_text():
    pieces = [{"choices": [{"index": 0, "text": each}]} for each in ("H", "i")]
    events = reply_to(*pieces, {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    assert (text_of(events), finish_of(events)) == ("Hi", "stop")
    whole = {"choices": [{"text": "Hi", "finish_reason": "stop"}]}
    assert text_of(response_decoder().decode_whole(whole)) == "Hi"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking", "reasoning_text"])
def test_reasoning_has_many_names(field):
    events = reply_to(chunk({field: "Hm"}), chunk({"content": "Hi"}, "stop"))
    assert (thoughts_in(events), text_of(events)) == ("Hm", "Hi")


@pytest.mark.parametrize("field", ["text", "summary"])
def test_reasoning_may_be_in_its_details_alone(field):
    detail = {"type": f"reasoning.{field}", "index": 0, field: "Hm"}
    events = reply_to(chunk({"reasoning_details": [detail]}), chunk({"content": "Hi"}, "stop"))
    assert (thoughts_in(events), text_of(events)) == ("Hm", "Hi")
    events = reply_to(chunk({"reasoning": "Hm", "reasoning_details": [detail]}), chunk({}, "stop"))
    assert thoughts_in(events) == "Hm"


@pytest.mark.parametrize(
    "last",
    [
        {"delta": {"finish_reason": "length"}},
        {"message": {"finish_reason": "length"}},
        {"delta": {}, "finish_reason": {"type": "length"}},
        {"delta": {}, "finish_reason": {"type": "length", "stop": 7}},
    ],
)
def test_the_finish_reason_may_be_elsewhere(last):
    events = reply_to(chunk({"content": "Hi"}), {"choices": [{"index": 0, **last}]})
    assert (text_of(events), finish_of(events)) == ("Hi", "length")


@pytest.mark.parametrize("data", [b"a\tb", b"a\x01b"])
def test_control_characters_may_stand_in_strings_as_they_are(data):
    stream = b'data: {"choices": [{"delta": {"content": "%s"}, "finish_reason": "stop"}]}\n\n' % data
    assert text_of(read(stream)) == data.decode()


def test_pairs_of_surrogates_may_be_written_as_java_does():
    halves = ["😀"[:1].encode("utf-16-be", "surrogatepass")]
    high, low = (bytes(halves[0][at : at + 2]).decode("utf-16-be", "surrogatepass") for at in (0, 2))
    high, low = (each.encode("utf-8", "surrogatepass") for each in (high, low))
    part = b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n'
    end = b"data: " + json.dumps(chunk({}, "stop")).encode() + b"\n\n"
    assert text_of(read(part % (high + low), end)) == "😀"
    assert text_of(read(part % high, part % low, end)) == "😀"
    assert text_of(read(part % high, part % b"x", end)) == "\N{REPLACEMENT CHARACTER}x"


def test_json_that_is_nested_too_deeply_is_no_json():
    with pytest.raises(ValueError, match=r"deep|expected"):
        response_decoder().load(b"[" * 100_000)
