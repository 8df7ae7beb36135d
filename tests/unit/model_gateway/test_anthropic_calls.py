"""Tool calls of the Messages API are read in all the shapes in which servers send them."""

from __future__ import annotations

import json

import pytest

from tests.support.anthropic_streams import calls_of, reply_to, whole
from tests.support.fake_anthropic import begin, calls, delta, end, message, start, stop
from tests.support.generate_requests import finish_of


def vendors_tool(index, kind="server_tool_use", text='{"query": "x"}'):
    """A tool that the vendor runs itself."""
    block = {"type": kind, "id": f"srv_{index}", "name": "web_search", "input": {}}
    pieces = [delta(index, "input_json_delta", partial_json=each) for each in ("", text[:5], text[5:])]
    return [start(index, block), *pieces, stop(index)]


@pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use", "something_new"])
def test_the_vendors_own_tools_do_not_touch_the_calls_beside_them(kind):
    found = start(1, {"type": "web_search_tool_result", "tool_use_id": "srv_0", "content": []})
    call = calls("tables_reserve", '{"people"', ": 4}", index=2)
    for blocks in (
        [*vendors_tool(0, kind), found, stop(1), *call],
        [*call, *vendors_tool(3, kind)],
        # The vendor's tool while the call is open.
        [*call[:3], *vendors_tool(3, kind), *call[3:]],
        # No block stops.
        [each for each in [*vendors_tool(0, kind), *call] if each["type"] != "content_block_stop"],
    ):
        for events in (
            reply_to(begin(), *blocks, *end("tool_use")),
            reply_to(begin(), *without_index(blocks), *end("tool_use")),
        ):
            assert [each[1:] for each in calls_of(events)] == [("tables.reserve", {"people": 4})]
            assert finish_of(events) == "tool_calls"


def without_index(blocks):
    """The blocks as of a server that numbers none; only one is open at a time."""
    numbers = [each["index"] for each in blocks]
    if numbers != sorted(numbers):
        return blocks
    return [{key: each for key, each in event.items() if key != "index"} for event in blocks]


def test_arguments_under_the_index_of_a_vendors_tool_that_has_stopped_are_the_calls():
    misnumbered = [{**each, "index": 0} if "delta" in each else each for each in CALL_AFTER]
    events = reply_to(begin(), *vendors_tool(0), *misnumbered, *end("tool_use"))
    assert [each[2] for each in calls_of(events)] == [{"people": 4}]


CALL_AFTER = calls("tables_reserve", '{"people": 4}', index=1)


def test_calls_at_the_same_time_may_have_their_indexes_as_text():
    told = [
        [{**event, "index": str(each)} for event in calls("tables_reserve", f'{{"people": {each}}}')]
        for each in (1, 2)
    ]
    mixed = [event for pair in zip(*told, strict=True) for event in pair]
    events = reply_to(begin(), *mixed, *end("tool_use"))
    assert [each[2] for each in calls_of(events)] == [{"people": 1}, {"people": 2}]


@pytest.mark.parametrize("given", [{"people": 4}, '{"people": 4}', ' {"people":4}\n'])
@pytest.mark.parametrize("pieces", [(), ("",), ('{"peo', 'ple": 4}')])
def test_arguments_may_come_with_the_start_of_the_block_and_once_more(given, pieces):
    first = start(0, {"type": "tool_use", "id": "t1", "name": "tables_reserve", "input": given})
    grown = [delta(0, "input_json_delta", partial_json=each) for each in pieces]
    for blocks in ([first, *grown, stop(0)], [first, *grown]):
        events = reply_to(begin(), *blocks, *end("tool_use"))
        assert calls_of(events) == [("t1", "tables.reserve", {"people": 4})]
        assert finish_of(events) == "tool_calls"


@pytest.mark.parametrize("given", [None, {}, [], "", "{}", "null"])
@pytest.mark.parametrize("pieces", [(), ('{"people": 4}',)])
def test_an_empty_placeholder_is_no_part_of_the_arguments(given, pieces):
    first = start(0, {"type": "tool_use", "id": "t1", "name": "tables_reserve", "input": given})
    grown = [delta(0, "input_json_delta", partial_json=each) for each in pieces]
    events = reply_to(begin(), first, *grown, stop(0), *end("tool_use"))
    assert calls_of(events) == [("t1", "tables.reserve", {"people": 4} if pieces else {})]


@pytest.mark.parametrize("given", [[{"people": 4}], [4], 4, 0, False, True, "4", "people", '[{"people": 4}]'])
def test_a_call_whose_arguments_are_no_object_is_a_model_error(given):
    block = {"type": "tool_use", "id": "t1", "name": "tables_reserve", "input": given}
    for events in (
        reply_to(begin(), start(0, block), stop(0), *end("tool_use")),
        whole(message(block, reason="tool_use")),
    ):
        assert finish_of(events) == "model_error"
        assert calls_of(events) == []


def test_arguments_of_a_whole_reply_may_be_text():
    block = {"type": "tool_use", "id": "t1", "name": "tables_reserve", "input": '{"people": 4}'}
    assert calls_of(whole(message(block, reason="tool_use"))) == [("t1", "tables.reserve", {"people": 4})]


@pytest.mark.parametrize(("piece", "expected"), [({"people": 4}, "tool_calls"), ([4], "model_error")])
def test_a_piece_that_is_no_text_is_all_of_the_arguments(piece, expected):
    first, last = calls("tables_reserve")[0], calls("tables_reserve")[-1]
    events = reply_to(
        begin(), first, delta(0, "input_json_delta", partial_json=piece), last, *end("tool_use")
    )
    assert finish_of(events) == expected
    assert [each[2] for each in calls_of(events)] == ([piece] if expected == "tool_calls" else [])


@pytest.mark.parametrize("number", ["1e999", '{"deep": -1e999}'])
def test_numbers_that_are_infinite_are_a_model_error(number):
    block = {"type": "tool_use", "id": "t1", "name": "clock_now", "input": {"x": "NUMBER"}}
    first = json.dumps(start(0, block)).replace('"NUMBER"', number)
    assert finish_of(reply_to(begin(), first, stop(0), *end("tool_use"))) == "model_error"


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_start_that_is_repeated_is_one_call(at, repeats):
    (first, *rest) = calls("tables_reserve", '{"people"', ": 4}", call_id="t1")
    sent = [first, *rest]
    sent[at:at] = [first] * repeats
    # After its arguments are complete, an equal id is that of another call.
    expected = 1 if at < 5 else 2
    events = reply_to(begin(), *sent, *end("tool_use"))
    assert calls_of(events)[0] == ("t1", "tables.reserve", {"people": 4})
    assert len(calls_of(events)) == expected


@pytest.mark.parametrize("call_id", [None, ""])
def test_a_repeated_start_without_an_id_is_one_call(call_id):
    (first, *rest) = calls("tables_reserve", '{"people": 4}', call_id=call_id)
    events = reply_to(begin(), first, first, *rest, *end("tool_use"))
    assert [each[1:] for each in calls_of(events)] == [("tables.reserve", {"people": 4})]


def test_another_call_under_the_same_index_is_a_call_of_its_own():
    one, two = (
        calls("tables_reserve", '{"people": 1}', call_id="t1")[:-1],
        calls("tables_reserve", '{"people": 2}', call_id="t2"),
    )
    events = reply_to(begin(), *one, *two, *end("tool_use"))
    assert [each[2] for each in calls_of(events)] == [{"people": 1}, {"people": 2}]


def test_a_call_without_a_name_is_a_model_error_even_beside_another():
    nameless = {"type": "tool_use", "id": "t1", "input": {"people": 4}}
    named = {"type": "tool_use", "id": "t2", "name": "clock_now", "input": {"zone": 1}}
    for blocks in ([nameless, named], [named, nameless], [nameless]):
        assert finish_of(whole(message(*blocks, reason="tool_use"))) == "model_error"


@pytest.mark.parametrize(
    "pieces",
    [
        ("{}", '{"people": 4}'),
        ("", "{}", '{"peo', 'ple": 4}'),
        ("null", '{"people": 4}'),
        ("{", '{"peo', '{"people": 4}'),
        ('{"people": 4}', '{"people": 4}'),
    ],
)
def test_pieces_may_begin_with_a_placeholder_or_grow(pieces):
    events = reply_to(begin(), *calls("tables_reserve", *pieces), *end("tool_use"))
    assert [each[1:] for each in calls_of(events)] == [("tables.reserve", {"people": 4})]
    assert finish_of(events) == "tool_calls"


@pytest.mark.parametrize("piece", ["{}", "null"])
def test_a_placeholder_alone_is_no_arguments(piece):
    events = reply_to(begin(), *calls("clock_now", piece), *end("tool_use"))
    assert [each[1:] for each in calls_of(events)] == [("clock.now", {})]


@pytest.mark.parametrize(
    "name", ["functions.tables_reserve", "default_api.tables_reserve", " tables_reserve "]
)
def test_a_tools_name_is_known_with_what_models_write_around_it(name):
    events = reply_to(begin(), *calls(name, '{"people": 4}'), *end("tool_use"))
    assert [each[1] for each in calls_of(events)] == ["tables.reserve"]
