"""What servers that imitate Chat Completions send twice, cut, early, or in another type."""

from __future__ import annotations

import itertools
import json

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.chat import reasoning_details
from clawdbot_model_gateway.formats.chat.response import ResponseDecoder
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_servicekit.structs import to_plain

from tests.support.chat_streams import call, reply_to, stream_decoder
from tests.support.fake_openai import chunk, completion, sse
from tests.support.generate_requests import check_grammar, finish_of, text_of


def calls_in(events):
    found = [part.tool_call for part in accumulate(events).message.parts if part.HasField("tool_call")]
    return [(each.name, to_plain(each.arguments)) for each in found]


def thoughts_in(events):
    return "".join(part.reasoning.text for part in accumulate(events).message.parts)


def last(message, finish="stop", **choice):
    """A last chunk that repeats the whole message."""
    return {
        "choices": [
            {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **choice}
        ]
    }


# The message once more


@pytest.mark.parametrize("delta", [{}, {"delta": {}}, {"delta": None}, {"delta": {"content": ""}}])
@pytest.mark.parametrize(
    ("pieces", "whole", "text"),
    [
        (["Hi"], "Hi", "Hi"),
        (["H", "i"], "Hi", "Hi"),
        (["H"], "Hi", "Hi"),
        (["Hi"], "", "Hi"),
        (["Hi"], None, "Hi"),
        (["Hi "], "Hi", "Hi "),
        (["Hi"], "Something else", "Hi"),
        (["a\ud83d"], "a😀b", "a😀b"),
        (["a\ud83d", "\ude00b"], "a😀b and the rest", "a😀b and the rest"),
        (["Hi"], [{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}], "Hi you"),
    ],
)
def test_a_last_chunk_that_repeats_the_text_adds_what_is_missing(delta, pieces, whole, text):
    chunks = [*(chunk({"content": each}) for each in pieces), last({"content": whole}, **delta)]
    events = reply_to(*map(json.dumps, chunks))
    assert (text_of(events), finish_of(events)) == (text, "stop")


def test_a_whole_completion_at_the_end_of_a_stream_repeats_it():
    events = reply_to(chunk({"content": "Hi"}), completion({"content": "Hi"}))
    assert (text_of(events), finish_of(events)) == ("Hi", "stop")


def test_a_message_that_repeats_thoughts_adds_what_is_missing():
    events = reply_to(
        chunk({"reasoning_content": "Hm"}),
        chunk({"content": "Hi"}),
        last({"reasoning_content": "Hm", "content": "Hi"}),
    )
    assert (thoughts_in(events), text_of(events)) == ("Hm", "Hi")


def test_pieces_may_come_as_messages():
    pieces = [last({"content": each}, finish=None) for each in ("Hi", " you")]
    assert text_of(reply_to(*pieces, last({"content": ""}))) == "Hi you"


@pytest.mark.parametrize("finish", [{"content": "Hi you, there"}, {"content": ""}, {}])
@pytest.mark.parametrize(
    "growing",
    [
        ["Hi", "Hi you", "Hi you, there"],
        ["Hi", "Hi", "Hi you, there", "Hi you, there"],
        ["", "Hi", "Hi you,", "Hi you, there"],
        ["Hi", [{"type": "text", "text": "Hi you, there"}]],
    ],
)
def test_a_message_may_grow_from_chunk_to_chunk(growing, finish):
    chunks = [last({"reasoning_content": "Hm", "content": each}, finish=None) for each in growing]
    if finish.get("content"):
        finish = {"reasoning_content": "Hm", **finish}
    events = reply_to(*chunks, last(finish))
    assert (thoughts_in(events), text_of(events), finish_of(events)) == ("Hm", "Hi you, there", "stop")


@pytest.mark.parametrize(
    ("thoughts", "whole"),
    [(["We need", "We need a clock"], "We need a clock"), (["\n", "\n\nOkay"], "\n\n\nOkay")],
)
@pytest.mark.parametrize("repeated", [False, True])
def test_thoughts_in_two_pieces_come_before_the_answer(thoughts, whole, repeated):
    again = {"reasoning_content": thoughts[-1]} if repeated and thoughts[-1] == whole else {}
    answer = [chunk({**again, "content": each}) for each in ("It is", " noon.")]
    events = reply_to(*(chunk({"reasoning_content": each}) for each in thoughts), *answer, chunk({}, "stop"))
    kinds = [each.WhichOneof("event") for each in events]
    assert (thoughts_in(events), text_of(events)) == (whole, "It is noon.")
    assert "reasoning_delta" not in kinds[kinds.index("text_delta") :]


def test_text_in_two_pieces_comes_before_a_call():
    said = [chunk({"content": each}) for each in ("Let me", "Let me look")]
    events = reply_to(
        *said, chunk({"tool_calls": [call(0, "c1", "clock.now", "{}")]}), chunk({}, "tool_calls")
    )
    kinds = [each.WhichOneof("event") for each in events]
    assert (text_of(events), calls_in(events)) == ("Let me look", [("clock.now", {})])
    assert "text_delta" not in kinds[kinds.index("tool_call_started") :]


def test_thoughts_and_calls_of_a_message_may_grow_too():
    growing = [
        {"reasoning_content": "Hm"},
        {"reasoning_content": "Hm, yes"},
        {"reasoning_content": "Hm, yes", "content": "Wait."},
        *(
            {
                "reasoning_content": "Hm, yes",
                "content": "Wait.",
                "tool_calls": [call(0, "c1", "tables_reserve", each)],
            }
            for each in ('{"peo', '{"people": 4}')
        ),
    ]
    events = reply_to(*(last(each, finish=None) for each in growing), last(growing[-1], "tool_calls"))
    assert (thoughts_in(events), text_of(events)) == ("Hm, yes", "Wait.")
    assert calls_in(events) == [("tables.reserve", {"people": 4})]


@pytest.mark.parametrize(
    "arguments",
    [['{"peo', '{"people": 4}'], ['{"peo', 'ple": 4}'], ["", '{"people": 4}', '{"people": 4}']],
    ids=["growing", "pieces", "repeated"],
)
def test_calls_may_come_in_messages_as_pieces_or_grow(arguments):
    chunks = [
        last({"tool_calls": [call(0, "c1", "tables_reserve", each)]}, finish=None) for each in arguments
    ]
    events = reply_to(*chunks, last({}, "tool_calls"))
    assert calls_in(events) == [("tables.reserve", {"people": 4})]


def test_empty_messages_beside_deltas_are_nothing():
    pieces = [
        {"choices": [{"index": 0, "delta": {"content": each}, "message": {}}]} for each in ("Hi", " you")
    ]
    assert text_of(reply_to(*pieces, last({"content": "Hi you"}))) == "Hi you"


ONE = call(0, "c1", "tables_reserve", '{"people": 4}')
OTHER = call(1, "c2", "clock_now", "{}")


@pytest.mark.parametrize(
    ("fragments", "repeated", "found"),
    [
        ([ONE], [ONE], 1),
        ([ONE], [call(0, "other", "tables_reserve", '{"people": 4}')], 1),
        ([ONE], [call(None, None, "tables_reserve", '{"people": 4}')], 1),
        ([ONE], [call(0, "c1", "tables_reserve", {"people": 4})], 1),
        ([ONE, OTHER], [ONE, OTHER], 2),
        ([ONE, OTHER], [OTHER, ONE], 2),
        ([ONE], [ONE, OTHER], 2),
        ([ONE], [OTHER], 2),
        ([ONE], [call(0, "c9", "clock_now", "{}")], 2),
        ([call(0, "c1", "tables_reserve", '{"peo'), OTHER], [ONE, OTHER], 2),
        ([call(0, "c1", "tables_reserve"), OTHER], [ONE, OTHER], 2),
        ([call(0, "c1", "tables_"), OTHER], [ONE, OTHER], 2),
        ([], [ONE, OTHER], 2),
    ],
)
@pytest.mark.parametrize("text", ["", "Wait."])
def test_a_last_chunk_that_repeats_the_calls_adds_what_is_missing(text, fragments, repeated, found):
    events = reply_to(
        chunk({"content": text}),
        *(chunk({"tool_calls": [each]}) for each in fragments),
        last({"content": text, "tool_calls": repeated}, "tool_calls"),
    )
    names = [("tables.reserve", {"people": 4}), ("clock.now", {})]
    assert sorted(calls_in(events), reverse=True) == names[:found]
    assert finish_of(events) == "tool_calls"


def test_a_repeated_function_call_is_one_call():
    function = {"name": "clock_now", "arguments": "{}"}
    events = reply_to(chunk({"function_call": function}), last({"function_call": function}, "function_call"))
    assert calls_in(events) == [("clock.now", {})]


# Names of tools


def read_with(names, *chunks):
    reply = ResponseDecoder("m", [], ToolNames(names), ErrorMapper([]))
    decoder, out = JsonStreamDecoder(EventParser(), reply), []
    decoder.feed(sse(*chunks), out)
    check_grammar(out)
    return out


def nameless_arguments():
    return [{}, {"arguments": ""}, {"arguments": None}, {"arguments": "null"}, {"arguments": "{}"}]


@pytest.mark.parametrize("arguments", nameless_arguments())
@pytest.mark.parametrize("finish", ["tool_calls", "stop", "tool_use"])
@pytest.mark.parametrize("in_message", [False, True])
def test_a_tool_whose_name_begins_another_ones_is_called(arguments, finish, in_message):
    asked = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "get", **arguments}}]}
    chunks = [last(asked, finish)] if in_message else [chunk(asked), chunk({}, finish)]
    events = read_with(["get", "get_weather", "get_weather_now"], *chunks)
    assert (calls_in(events), finish_of(events)) == ([("get", {})], "tool_calls")


def test_a_name_that_the_limit_may_have_cut_is_no_call():
    asked = {"tool_calls": [call(0, "c1", "get", "")]}
    events = read_with(["get", "get_weather"], chunk(asked), chunk({}, "length"))
    assert (calls_in(events), finish_of(events)) == ([], "length")


def test_a_name_that_no_tool_has_and_another_goes_on_from_is_a_model_error():
    events = read_with(
        ["get_weather"], chunk({"tool_calls": [call(0, "c1", "get_", "")]}), chunk({}, "tool_calls")
    )
    assert (calls_in(events), finish_of(events)) == ([], "model_error")


@pytest.mark.parametrize("function", [{"name": "get"}, {"name": "get", "arguments": ""}])
@pytest.mark.parametrize("ids", [("a", "b"), (None, None), ("a", "a"), ("", "")])
def test_whole_calls_without_arguments_are_each_a_call(function, ids):
    asked = {"tool_calls": [{"id": each, "function": function} for each in ids]}
    events = read_with(["get", "get_weather"], last(asked, "tool_calls"))
    assert (calls_in(events), finish_of(events)) == ([("get", {})] * 2, "tool_calls")


# Types of a call's fields


@pytest.mark.parametrize(
    "calls",
    [
        {"index": 0, "id": "c1", "function": {"name": "tables_reserve", "arguments": '{"people": 4}'}},
        [{"id": "c1", "function": {"name": "tables_reserve", "arguments": {"people": 4}}}],
        [{"id": "c1", "function": {"name": "tables_reserve", "parameters": {"people": 4}}}],
        [{"id": "c1", "function": {"name": "tables_reserve", "parameters": '{"people": 4}'}}],
        [{"id": "c1", "type": "function", "name": "tables_reserve", "arguments": '{"people": 4}'}],
        [{"id": 7, "index": [0], "function": {"name": "tables_reserve", "arguments": '{"people": 4}'}}],
    ],
)
@pytest.mark.parametrize("in_message", [False, True])
def test_a_call_is_read_in_every_shape(calls, in_message):
    asked = {"tool_calls": calls}
    events = reply_to(
        *([last(asked, "tool_calls")] if in_message else [chunk(asked), chunk({}, "tool_calls")])
    )
    assert (calls_in(events), finish_of(events)) == ([("tables.reserve", {"people": 4})], "tool_calls")


@pytest.mark.parametrize("arguments", [5, 0, 1.5, True, False, [{"x": 1}], ["x"], "[]", "5"])
@pytest.mark.parametrize("in_message", [False, True])
def test_arguments_that_are_no_object_are_a_model_error(arguments, in_message):
    asked = {
        "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "clock_now", "arguments": arguments}}]
    }
    events = reply_to(
        *([last(asked, "tool_calls")] if in_message else [chunk(asked), chunk({}, "tool_calls")])
    )
    assert (calls_in(events), finish_of(events)) == ([], "model_error")


@pytest.mark.parametrize("index", [[0], {"a": 0}, [[]], None, "0", 0.0, True])
def test_an_index_may_have_any_type(index):
    fragments = [call(index, "c1", "tables_reserve", '{"people"'), call(index, None, None, ": 4}")]
    events = reply_to(*(chunk({"tool_calls": [each]}) for each in fragments), chunk({}, "tool_calls"))
    assert (calls_in(events), finish_of(events)) == ([("tables.reserve", {"people": 4})], "tool_calls")


# OpenRouter's reasoning details


def details_of(*pieces):
    chunks = [*(chunk({"reasoning_details": [each]}) for each in pieces), chunk({"content": "Hi"}, "stop")]
    parts = accumulate(reply_to(*map(json.dumps, chunks))).message.parts
    (found,) = [part.reasoning for part in parts if part.reasoning.signature]
    return reasoning_details.unwrap(found.signature)


def test_a_character_cut_between_two_details_is_put_together():
    pieces = [
        {"type": "reasoning.text", "index": 0, "text": "\ud83d"},
        {"type": "reasoning.text", "index": 0, "text": "\ude00", "signature": "s"},
    ]
    assert details_of(*pieces) == [{"type": "reasoning.text", "index": 0, "text": "😀", "signature": "s"}]


@pytest.mark.parametrize("field", ["id", "format", "index", "type", "data", "signature", "text", "x\ud83d"])
def test_half_a_character_in_a_detail_is_replaced(field):
    (found,) = details_of({"type": "reasoning.encrypted", "data": "d", "signature": "s", field: "a\ud83d"})
    assert "a\N{REPLACEMENT CHARACTER}" in found.values()


@pytest.mark.parametrize("index", [2**70, [0], {"a": 1}, 0.5, None])
def test_a_detail_may_have_any_index(index):
    assert len(details_of({"type": "reasoning.encrypted", "data": "d", "index": index})) == 1


# When a reply is over


@pytest.mark.parametrize(
    ("chunks", "over"),
    [
        ([chunk({"content": "Hi"}), chunk({}, "stop")], True),
        ([chunk({"content": "Hi"}, "stop")], False),
        ([chunk({"content": "H"}), chunk({"content": "i"}, "stop")], True),
        # A reason with every piece, also an empty one: more may follow.
        ([chunk({"content": "Hi"}, "stop"), chunk({"content": ""}, "stop")], False),
        ([chunk({"content": ""}, "stop"), chunk({"content": "Hi"}), chunk({}, "stop")], False),
        ([chunk({"reasoning": "Hm"}, "stop"), chunk({}, "stop")], False),
        ([chunk({"content": "Hi"}, "stop"), chunk({"content": " you"}), chunk({}, "stop")], False),
        # What the reason says has not come.
        ([chunk({"reasoning": "Hm"}), chunk({}, "stop")], False),
        ([chunk({"content": "Hi"}), chunk({}, "tool_calls")], False),
        ([chunk({"reasoning": "Hm"}), chunk({}, "tool_calls")], False),
        ([chunk({"content": "Hi"}), chunk({"tool_calls": [ONE]}), chunk({}, "tool_calls")], True),
        ([chunk({"reasoning": "Hm"}), chunk({"refusal": "No."}), chunk({}, "stop")], True),
    ],
)
def test_a_reply_is_over_once_its_reason_came_after_all_content(chunks, over):
    decoder = stream_decoder()
    decoder.feed(sse(*chunks, done=False), [])
    assert (decoder.may_end, decoder.awaiting_end) == (True, over)


def test_the_shapes_of_a_call_may_follow_one_another():
    odd = [{}, {"index": [1]}, {"function": "get"}, {"name": 5, "arguments": []}, {"id": {}}]
    shapes = [ONE, OTHER, *odd]
    for first, second in itertools.product(shapes, shapes):
        events = reply_to(chunk({"tool_calls": [first]}), last({"tool_calls": [second]}, "tool_calls"))
        assert finish_of(events) in {"tool_calls", "model_error"}
