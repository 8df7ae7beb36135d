"""Pieces of the Responses API's texts and arguments are joined, however they are cut and repeated."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_servicekit.structs import to_plain

from tests.support.fake_responses import (
    call,
    created,
    ended,
    event,
    item_events,
    message,
    reasoning,
    response,
)
from tests.support.generate_requests import check_grammar, finish_of, text_of
from tests.support.responses_streams import reply_to, response_decoder

AT = {"output_index": 0, "item_id": "msg_1"}
HALVES = ("a\ud83d", "\ude00b")


def escaped(each):
    """An event whose JSON keeps halves of surrogate pairs, as vendors send them."""
    return json.dumps(each)


def thoughts_of(events):
    parts = accumulate(events).message.parts
    return "".join(each.reasoning.text for each in parts)


def calls_of(events):
    parts = accumulate(events).message.parts
    return [to_plain(each.tool_call.arguments) for each in parts if each.HasField("tool_call")]


def deltas(kind, *pieces, **at):
    return [escaped(event(f"{kind}.delta", delta=each, **AT, **at)) for each in pieces]


@pytest.mark.parametrize(
    "pieces", [HALVES, HALVES[:1], ("a",), ("a\ud83d\ude00",), (), ("a\udcf0\udc9f", "\udc98\udc80")]
)
@pytest.mark.parametrize("where", ["text done", "item done", "end", "all"])
def test_what_comes_at_once_completes_text_whose_characters_were_cut(pieces, where):
    whole = "a😀b and the rest"
    done = {
        "text done": [event("output_text.done", text=whole, content_index=0, **AT)],
        "item done": [event("output_item.done", output_index=0, item=message(whole))],
        "end": [],
    }
    done["all"] = [*done["text done"], *done["item done"]]
    last = ended() if where in {"text done", "item done"} else ended(message(whole))
    events = reply_to(created(), *deltas("output_text", *pieces, content_index=0), *done[where], last)
    assert (text_of(events), finish_of(events)) == (whole, "stop")


def test_refusals_and_reasoning_are_completed_too():
    whole = "a😀b and the rest"
    refused = reply_to(created(), *deltas("refusal", *HALVES, content_index=0), ended(message(refusal=whole)))
    assert (text_of(refused), finish_of(refused)) == (whole, "refusal")
    thought = reply_to(
        created(),
        *deltas("reasoning_summary_text", *HALVES, summary_index=0),
        event("reasoning_summary_text.done", text=whole, summary_index=0, **AT),
        ended(reasoning(whole)),
    )
    assert thoughts_of(thought) == whole


def test_texts_of_interleaved_items_do_not_mix_their_halves():
    one, two = ({**AT, "output_index": index, "item_id": f"m{index}"} for index in (0, 1))
    sent = [
        event("output_text.delta", content_index=0, delta=delta, **at)
        for delta, at in [("\ud83d", one), ("\ud83d", two), ("\ude00", one), ("\ude03", two)]
    ]
    assert text_of(reply_to(created(), *map(escaped, sent), ended())) == "😀😃"


@pytest.mark.parametrize("end", [ended(), "[DONE]", ended(message("a"))])
def test_half_a_character_whose_rest_never_comes_is_replaced_at_most_once(end):
    text = text_of(reply_to(created(), *deltas("output_text", "a\ud83d", content_index=0), end))
    assert text in {"a", "a\ufffd"}


def test_text_that_the_server_has_replaced_is_not_doubled():
    sent = deltas("output_text", *HALVES, content_index=0)
    assert text_of(reply_to(created(), *sent, ended(message("a\ufffd\ufffdb")))) == "a😀b"


@pytest.mark.parametrize("content", ["Yes.", [{"type": "text", "text": "Yes."}]])
def test_text_of_servers_that_imitate_the_api_is_read(content):
    item = {**message(), "content": content}
    assert text_of(reply_to(created(), ended(item))) == "Yes."
    assert text_of(reply_to(created(), *deltas("output_text", "Ye", content_index=0), ended(item))) == "Yes."


def test_a_stream_may_end_as_that_of_the_realtime_api_does():
    events = reply_to(created(), event("done", response=response(message("Yes."))))
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


# Items that servers number in their own way

BOOK, CLOCK = call("tables_reserve", '{"people": 4}'), call("clock_now", "{}", "call_2")
SAID = message("Good evening.")


def renumbered(events, **fields):
    """The events with other values of these fields, where they have them."""
    return [{**each, **{name: value for name, value in fields.items() if name in each}} for each in events]


@pytest.mark.parametrize("last", [ended(), ended(SAID, BOOK, CLOCK), ended(BOOK, CLOCK), ended(SAID)])
@pytest.mark.parametrize("index", [0, 7, -1])
def test_all_items_may_have_one_index(last, index):
    sent = [each for item in (SAID, BOOK, CLOCK) for each in item_events(0, item)]
    events = reply_to(created(), *renumbered(sent, output_index=index), last)
    assert text_of(events) == "Good evening."
    assert calls_of(events) == [{"people": 4}, {}]


@pytest.mark.parametrize("index", [0, 5, -1, True, "1", None])
@pytest.mark.parametrize("at", range(4))
def test_one_event_of_a_call_may_have_another_index(index, at):
    called = item_events(1, BOOK, size=99)
    called[at : at + 1] = renumbered(called[at : at + 1], output_index=index)
    events = reply_to(created(), *item_events(0, SAID), *called, ended(SAID, BOOK))
    assert text_of(events) == "Good evening."
    assert calls_of(events) == [{"people": 4}]


@pytest.mark.parametrize("index", [0, 5, -1])
def test_the_end_of_a_message_may_have_another_index(index):
    *sent, done = item_events(0, SAID)
    events = reply_to(
        created(), *sent, *renumbered([done], output_index=index), *item_events(1, BOOK), ended()
    )
    assert text_of(events) == "Good evening."
    assert calls_of(events) == [{"people": 4}]


@pytest.mark.parametrize("items", [(SAID, BOOK, CLOCK), (CLOCK, SAID, BOOK)])
@pytest.mark.parametrize("ids", [True, False])
def test_the_end_may_repeat_the_items_in_another_order_or_without_some(items, ids):
    sent = [each for index, item in enumerate(items) for each in item_events(index, item)]
    repeated = [{**each, "id": each["id"] if ids else f"other_{each['id']}"} for each in (BOOK, CLOCK, SAID)]
    for last in (repeated, repeated[1:], repeated[:1], []):
        events = reply_to(created(), *sent, ended(*last))
        assert text_of(events) == "Good evening."
        assert len(calls_of(events)) == 2


@pytest.mark.parametrize("kind", ["function", "tool_call", ""])
def test_a_call_whose_first_event_has_another_type_is_a_call(kind):
    added, *rest = item_events(0, BOOK)
    added["item"] = {**added["item"], "type": kind}
    for last in (ended(BOOK), ended()):
        events = reply_to(created(), added, *rest, last)
        assert calls_of(events) == [{"people": 4}]


def test_texts_of_all_items_may_be_counted_together():
    sent = renumbered(item_events(0, SAID), content_index=3)
    assert text_of(reply_to(created(), *sent, ended(SAID))) == "Good evening."


@pytest.mark.parametrize("odd", [[], {}, 5, None, True])
def test_an_id_of_another_type_is_none(odd):
    events = reply_to(created(), *item_events(0, SAID), ended({**SAID, "id": odd}))
    assert text_of(events) == "Good evening."


# Arguments


def whole_calls(arguments):
    """A call whose arguments come at once, in every place where they can."""
    item = call("tables_reserve", arguments)
    bare = {**item, "arguments": ""}
    added = event("output_item.added", output_index=0, item=bare)
    done = event("function_call_arguments.done", output_index=0, item_id=item["id"], arguments=arguments)
    yield response_decoder().decode_whole(response(item))
    yield reply_to(created(), ended(item))
    yield reply_to(created(), added, done, ended())
    yield reply_to(created(), added, event("output_item.done", output_index=0, item=item), ended())
    yield reply_to(created(), added, ended(item))
    yield reply_to(created(), event("output_item.added", output_index=0, item=item), ended())
    yield reply_to(created(), event("output_item.added", output_index=0, item=item), ended(bare))


@pytest.mark.parametrize("arguments", [{"people": 4}, '{"people": 4}', ' {"people":4} '])
def test_arguments_may_be_text_or_an_object_and_come_anywhere(arguments):
    for events in whole_calls(arguments):
        check_grammar(events)
        assert calls_of(events) == [{"people": 4}]
        assert finish_of(events) == "tool_calls"


@pytest.mark.parametrize("arguments", [[{"people": 4}], 4, 0, False, "4", "people", '[{"people": 4}]'])
def test_arguments_that_are_no_object_are_a_model_error(arguments):
    for events in whole_calls(arguments):
        assert calls_of(events) == []
        assert finish_of(events) == "model_error"


@pytest.mark.parametrize("arguments", [None, {}, [], "", "{}", "null"])
def test_no_arguments_are_an_empty_object(arguments):
    for events in whole_calls(arguments):
        assert calls_of(events) == [{}]


def test_numbers_in_an_object_are_exact():
    number = 2**70 + 1
    item = call("tables_reserve", {"x": number})
    (part,) = accumulate(reply_to(created(), ended(item))).message.parts
    assert json.loads(part.tool_call.arguments_json) == {"x": number}


@pytest.mark.parametrize("final", [{"people": 4}, '{"people": 4}', '{"people":4}'])
@pytest.mark.parametrize(
    "pieces", [('{"people"', ": 4}"), ('"people": 4}',), ('{"peo',), ({"people": 4},), ()]
)
def test_arguments_that_are_repeated_are_one_call_even_if_a_piece_was_lost(pieces, final):
    item = call("tables_reserve", final)
    at = {"output_index": 0, "item_id": item["id"]}
    added = event("output_item.added", output_index=0, item={**item, "arguments": ""})
    grown = [event("function_call_arguments.delta", delta=each, **at) for each in pieces]
    events = reply_to(created(), added, *grown, event("output_item.done", item=item, **at), ended(item))
    assert calls_of(events) == [{"people": 4}]


@pytest.mark.parametrize("cut", [HALVES, HALVES[:1], ()])
def test_characters_that_are_cut_in_arguments_are_joined(cut):
    text = '{"note": "a😀b"}'
    item = call("tables_reserve", text)
    at = {"output_index": 0, "item_id": item["id"]}
    added = event("output_item.added", output_index=0, item={**item, "arguments": ""})
    begun = ['{"note": "' + cut[0], *cut[1:]] if cut else []
    grown = [escaped(event("function_call_arguments.delta", delta=each, **at)) for each in begun]
    assert calls_of(reply_to(created(), added, *grown, ended(item))) == [{"note": "a😀b"}]


# Halves in other fields


def test_half_a_character_in_a_status_or_a_reason_does_no_harm():
    for body in (
        response(message("Yes."), status="new\ud83d"),
        response(message("Yes."), status="incomplete", incomplete_details={"reason": "x\ud83d"}),
        response(message("Yes."), status="failed", error={"code": "x\ud83d", "message": "\ud83d"}),
    ):
        events = reply_to(created(), escaped(event("completed", response=body)))
        assert "\ufffd" in events[-1].finished.raw_finish_reason
        assert text_of(events) == "Yes."


# Servers that imitate the API


def test_a_text_may_come_with_its_part_alone():
    part = {"type": "output_text", "text": "Good"}
    done = event("content_part.done", part=part, content_index=0, **AT)
    delta = event("output_text.delta", delta="Go", content_index=0, **AT)
    for events in ((done,), (delta, done), (delta, event("output_text.delta", delta={"text": "od"}, **AT))):
        assert text_of(reply_to(created(), *events, ended())) == "Good"


@pytest.mark.parametrize(
    "kind", ["reasoning", "reasoning_summary", "reasoning_text", "reasoning_summary_text"]
)
def test_reasoning_has_all_names_that_it_ever_had(kind):
    thinks = event(f"{kind}.delta", delta="Hm.", output_index=0, item_id="rs_1")
    events = reply_to(created(), thinks, *item_events(1, message("Good")), ended())
    assert (thoughts_of(events), text_of(events)) == ("Hm.", "Good")


def test_a_whole_response_needs_neither_a_status_nor_items():
    whole = {"object": "response", "model": "m", "output": [message("Good")]}
    assert text_of(response_decoder().decode_whole(whole)) == "Good"
    whole = {"object": "response", "status": "completed", "output": [], "output_text": "Good"}
    assert text_of(response_decoder().decode_whole(whole)) == "Good"


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_has_not_begun_is_none(status):
    with pytest.raises(ProtocolViolation):
        response_decoder().decode_whole({"object": "response", "status": status, "output": []})
