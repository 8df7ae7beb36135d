"""Reasoning in tags, and what one reply may say about the next ones."""

from __future__ import annotations

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.chat.response import ResponseDecoder
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.reply_text import ReplyText
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.formats.think_tags import EVIDENCE, ThinkTagModes
from clawdbot_model_gateway.http import ErrorMapper

from tests.support.chat_streams import call
from tests.support.fake_openai import chunk, sse
from tests.support.generate_requests import check_grammar

THOUGHT = "A guest asks.\n</think>\n\nGood evening."


def reply(modes, *pieces, finish="stop", done=True, calls=()):
    """Reasoning and text of a reply of the model "m"."""
    decoder = JsonStreamDecoder(
        EventParser(), ResponseDecoder("m", [], ToolNames(["get"]), ErrorMapper([]), modes)
    )
    events, chunks = [], [chunk({"content": each}) for each in pieces]
    chunks += [chunk({"tool_calls": [each]}) for each in calls]
    decoder.feed(sse(*chunks, *([chunk({}, finish)] if finish else []), done=done), events)
    if not decoder.finished:
        decoder.end(events)
    check_grammar(events)
    parts = accumulate(events).message.parts
    return "".join(each.reasoning.text for each in parts), "".join(each.text for each in parts)


def cut(text):
    return [[text], [*text], [text[at : at + 5] for at in range(0, len(text), 5)]]


GPT_OSS = (
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Good  evening."
)


@pytest.mark.parametrize(
    "written",
    [
        "<think>Hm.</think>Good  evening.",
        "<reasoning>\nHm.\n</reasoning>\n\nGood  evening.",
        "<longcat_think>Hm.</longcat_think>Good  evening.",
        "<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\nGood  evening.",
        "<|begin_of_thought|>Hm.<|end_of_thought|>\n<|begin_of_solution|>Good  evening.<|end_of_solution|>",
        "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Good  evening.<|END_RESPONSE|>",
        GPT_OSS,
        GPT_OSS + "<|return|>",
        "<|start|>assistant" + GPT_OSS,
        "<|channel|>analysis<|message|>Hm.<|end|>Good  evening.",
    ],
)
def test_each_models_tags_are_known(written):
    for pieces in cut(written):
        assert reply(ThinkTagModes("auto"), *pieces) == ("Hm.", "Good  evening.")
        assert reply(ThinkTagModes("at_start"), *pieces) == ("Hm.", "Good  evening.")
        assert reply(ThinkTagModes("never"), *pieces) == ("", written)


def test_what_gpt_oss_says_before_a_call_is_text():
    written = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
        "Wait. <|end|><|start|>assistant<|channel|>final<|message|>Done."
    )
    for pieces in cut(written):
        assert reply(ThinkTagModes("auto"), *pieces) == ("Hm.", "Wait.Done.")


@pytest.mark.parametrize(
    "written",
    [
        "The tag <reasoning> opens it.",
        "<|channel",
        "<|begin_of_nothing|>Hm.<|end_of_nothing|>",
        "The tag </think> closes it.",
        "A thought ends with </think>.",
        "It is </think>, and no other",
        "It ends with </think>",
    ],
)
def test_tags_that_the_text_is_about_are_text(written):
    for pieces in cut(written):
        assert reply(ThinkTagModes("auto"), *pieces) == ("", written)


def test_an_answer_that_is_cut_keeps_what_came():
    cut_off = GPT_OSS.removesuffix(" evening.")
    assert reply(ThinkTagModes("auto"), cut_off, finish="length") == ("Hm.", "Good")
    assert reply(ThinkTagModes("auto"), cut_off + "evening<|ret", finish=None, done=False) == (
        "Hm.",
        "Good evening<|ret",
    )


ENDS = [
    {"finish": "length"},
    {"finish": "content_filter"},
    {"finish": "tool_calls", "calls": [call(0, "c1", "get", "{}")]},
    {"finish": None, "done": False},
    {"finish": "stop"},
]


@pytest.mark.parametrize("end", ENDS)
def test_one_reply_does_not_change_how_the_next_one_is_read(end):
    modes = ThinkTagModes("auto")
    for _ in range(EVIDENCE - 1):
        assert reply(modes, THOUGHT) == ("A guest asks.", "Good evening.")
    assert reply(modes, "Paris is", **end) == ("", "Paris is")


@pytest.mark.parametrize("end", ENDS)
def test_text_is_not_lost_where_only_replies_said_that_it_would_be_a_thought(end):
    modes = ThinkTagModes("auto")
    for _ in range(EVIDENCE):
        reply(modes, THOUGHT)
    assert reply(modes, "Paris is", **end)[1] == "Paris is"
    assert reply(modes, "Paris is", **end) == ("", "Paris is")


def test_replies_that_say_otherwise_in_between_are_no_evidence():
    modes = ThinkTagModes("auto")
    for _ in range(EVIDENCE):
        reply(modes, THOUGHT)
        reply(modes, "Good evening.")
    assert modes.of("m") == "auto"


def test_the_end_of_a_thought_keeps_what_was_learned():
    modes = ThinkTagModes("auto")
    for _ in range(EVIDENCE + 2):
        reply(modes, THOUGHT)
    assert modes.of("m") == "open"


@pytest.mark.parametrize("end", ENDS[:-1])
def test_a_thought_that_is_cut_stays_one_where_the_configuration_says_that_it_is(end):
    assert reply(ThinkTagModes("open"), "A guest asks", **end) == ("A guest asks", "")


@pytest.mark.parametrize("leak", ["</think>", "<think></think>", "<think>\n\n</think>\n\n", "\n</think>\n"])
@pytest.mark.parametrize("cut", [1, 3, 100])
def test_tags_that_a_server_leaves_when_it_takes_the_reasoning_out_are_not_shown(leak, cut):
    text = f"{leak}Hi <think> there"
    pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
    for mode in ("auto", "at_start", "open"):
        said, out = ReplyText(mode), []
        said.add_reasoning("hm", out)
        for piece in pieces:
            said.add(piece, out)
        said.end(out, answered=True)
        assert "".join(each.text_delta.text for each in out).lstrip() == "Hi <think> there"


@pytest.mark.parametrize(
    "text",
    [
        *(" <b>Hi</b>", "<", "  ", "<thin", "Hi</think>", "<think>er", "x"),
        *("<think>What to say?</think> is how it begins.", "<think>a b</think>", "<think>x</think><think>"),
    ],
)
def test_other_text_after_the_reasoning_is_shown_as_it_is(text):
    said, out = ReplyText("auto"), []
    said.add_reasoning("hm", out)
    for character in text:
        said.add(character, out)
    said.end(out, answered=True)
    assert "".join(each.text_delta.text for each in out) == text
