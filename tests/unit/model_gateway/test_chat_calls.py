"""Tool calls over Chat Completions that are repeated, that grow, and that come in other words."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.chat.tool_calls import ARGUMENTS
from clawdbot_servicekit.structs import to_plain

from tests.support.chat_streams import call, reply_to, response_decoder
from tests.support.fake_openai import chunk, completion
from tests.support.generate_requests import finish_of, text_of


def calls_in(events):
    found = [part.tool_call for part in accumulate(events).message.parts if part.HasField("tool_call")]
    return [(each.name, to_plain(each.arguments)) for each in found]


PEOPLE = '{"people": 4}'


@pytest.mark.parametrize(
    "fragments",
    [
        [call(0, "c1", "tables_reserve", PEOPLE), call(0, "c1", "tables_reserve", PEOPLE)],
        [call(None, "c1", "tables_reserve", PEOPLE), call(None, "c1", "tables_reserve", PEOPLE)],
        [
            call(0, "c1", "tables_reserve", '{"peo'),
            call(0, arguments='ple": 4}'),
            call(0, "c1", "tables_reserve", PEOPLE),
        ],
        [call(0, "c1", "tables_reserve", each) for each in ("{", '{"peo', '{"people": ', PEOPLE)],
        [call(0, "c1", "tables_reserve", "{}"), call(0, arguments=PEOPLE)],
        [call(0, "c1", "tables_reserve", "null"), call(0, arguments='{"peo'), call(0, arguments='ple": 4}')],
        [call(0, "c1", "tables_reserve", ""), call(0, arguments="{}"), call(0, arguments=PEOPLE)],
        [call("0", "c1", "tables_reserve"), call(0, arguments=PEOPLE)],
        [call(0.0, "c1", "tables_reserve"), call("0", arguments='{"peo'), call(0, arguments='ple": 4}')],
        [call(0, "c1", "tables_reserve", json.dumps(PEOPLE))],
        *([{"index": 0, "id": "c1", "name": "tables_reserve", each: {"people": 4}}] for each in ARGUMENTS),
        *(
            [call(0, "c1", each, PEOPLE)]
            for each in ("functions.tables_reserve", "default_api.tables_reserve")
        ),
        *([call(0, "c1", each, PEOPLE)] for each in (" tables_reserve\n", "functions.tables_reserve:0")),
        [call(0, "c1", "tables_reserve<|channel|>commentary", PEOPLE)],
        [{"index": 0, "call_id": "c1", "function": {"name": "tables_reserve", "arguments": PEOPLE}}],
    ],
)
def test_a_call_is_one_call_however_it_comes(fragments):
    events = reply_to(*(chunk({"tool_calls": [each]}) for each in fragments), chunk({}, "tool_calls"))
    assert calls_in(events) == [("tables.reserve", {"people": 4})]
    assert [each.tool_call_done.tool_call.id for each in events if each.HasField("tool_call_done")] == ["c1"]
    assert finish_of(events) == "tool_calls"


@pytest.mark.parametrize(
    "calls",
    [
        [call(0, "c1", "clock_now", "{}"), call(0, "c2", "clock_now", "{}")],
        [call(0, None, "clock_now", "{}"), call(0, None, "clock_now", "{}")],
        [call(0, "c1", "clock_now", "{}"), call(1, "c1", "clock_now", "{}")],
        [call(None, None, "clock_now", "null"), call(None, None, "clock_now", "null")],
        [call("0", "c1", "clock_now", "{}"), call("1", "c2", "clock_now"), call(1, arguments="{}")],
    ],
)
def test_equal_calls_stay_apart(calls):
    events = reply_to(*(chunk({"tool_calls": [each]}) for each in calls), chunk({}, "tool_calls"))
    assert calls_in(events) == [("clock.now", {})] * 2


def test_numbers_may_be_ids():
    events = reply_to(chunk({"tool_calls": [{**call(0, None, "clock_now", "{}"), "id": 7}]}, "tool_calls"))
    assert [each.tool_call_done.tool_call.id for each in events if each.HasField("tool_call_done")] == ["7"]


def test_a_name_that_only_contains_a_tools_is_another_one():
    for name in ("my_clock_now", "functions.clock", "clock_now_2", "other.clock_now"):
        events = reply_to(chunk({"tool_calls": [call(0, "c1", name, "{}")]}, "tool_calls"))
        assert calls_in(events) == [(name, {})]


def test_a_reply_that_is_split_in_two_choices_is_one():
    split = completion({"content": "Wait."}, "tool_calls")
    split["choices"].append(
        {"finish_reason": "tool_calls", "message": {"tool_calls": [call(None, "c1", "clock_now", "{}")]}}
    )
    events = response_decoder().decode_whole(split)
    assert (text_of(events), calls_in(events)) == ("Wait.", [("clock.now", {})])
