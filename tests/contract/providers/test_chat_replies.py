"""Replies over Chat Completions in shapes of their own, through both RPCs that generate."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.finish_reason_pb2 import FinishReason

from tests.support.chat_streams import call
from tests.support.fake_openai import Answer, chunk, completion, sse, usage, usage_chunk, whole
from tests.support.generate_requests import asks
from tests.support.wires import RPCS, WIRES, calls, parts, replies, served, text

CHAT = WIRES["chat"]
END = [chunk({}, "stop"), usage_chunk()]
LONG = "Good evening, and welcome to the house."
PEOPLE, ZONE = '{"people": 4}', '{"zone": "UTC"}'
ONE, TWO = ("tables.reserve", {"people": 4}), ("clock.now", {"zone": "UTC"})


async def reply_to(tmp_path, rpc, answer):
    async with served(tmp_path, CHAT) as (backend, client):
        backend.will(answer)
        return await replies(client, rpc)


def thoughts(reply):
    return "".join(each.text for each in parts(reply, "reasoning"))


def finish(reply):
    return FinishReason.Name(reply.finish_reason).removeprefix("FINISH_REASON_")


# Messages and pieces


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize(
    "message",
    [
        "Good evening.",
        [{"role": "assistant", "content": "Good evening."}],
        {"content": ["Good ", {"type": "text", "text": "evening."}]},
        {"content": [{"type": "text", "text": {"value": "Good evening."}}]},
        {"content": {"type": "output_text", "text": "Good evening."}},
    ],
)
async def test_a_message_is_read_in_any_form(tmp_path, rpc, message):
    body = completion()
    body["choices"][0]["message"] = message
    reply = await reply_to(tmp_path, rpc, whole(body))
    assert (text(reply), finish(reply)) == ("Good evening.", "STOP")


@pytest.mark.parametrize(("content", "said"), [({"people": 4}, '{"people":4}'), (42, "42"), ([1, 2], "12")])
async def test_content_that_a_server_has_parsed_is_not_lost(tmp_path, content, said):
    assert text(await reply_to(tmp_path, "generate", whole(completion({"content": content})))) == said


@pytest.mark.parametrize("rpc", RPCS)
async def test_what_is_said_aloud_is_text(tmp_path, rpc):
    pieces = [{"audio": {"id": "a", "transcript": each}} for each in ("Good ", "evening.")]
    message = {"content": None, "audio": {"data": "AAAA", "transcript": "Good evening."}}
    answer = Answer([sse(*map(chunk, pieces), *END)]) if rpc == "stream" else whole(completion(message))
    assert text(await reply_to(tmp_path, rpc, answer)) == "Good evening."


async def test_pieces_may_be_bare_texts_and_indexes_texts(tmp_path):
    pieces = [{"index": "0", "delta": "Good "}, {"index": "0", "delta": "evening.", "finish_reason": "stop"}]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*({"choices": [each]} for each in pieces))]))
    assert (text(reply), finish(reply)) == ("Good evening.", "STOP")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": [{"type": "text", "text": "A guest."}]},
        {"type": "thinking", "thinking": "A guest."},
        {"type": "reasoning", "text": "A guest."},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "A guest."}]},
    ],
)
@pytest.mark.parametrize("rpc", RPCS)
async def test_parts_that_are_thoughts_are_no_text(tmp_path, rpc, part):
    content = [part, {"type": "text", "text": "Good evening."}]
    records = [*(chunk({"content": [each]}) for each in content), *END]
    answer = Answer([sse(*records)]) if rpc == "stream" else whole(completion({"content": content}))
    reply = await reply_to(tmp_path, rpc, answer)
    assert (thoughts(reply), text(reply)) == ("A guest.", "Good evening.")


@pytest.mark.parametrize(
    "last",
    [
        {"delta": {"content": LONG}},
        {"delta": {"role": "assistant", "content": LONG}},
        {"delta": {}, "message": {"content": LONG}},
        {"message": {"content": f"{LONG} Bye."}},
        {"delta": {"content": f"{LONG} Bye."}},
    ],
)
async def test_a_last_piece_that_repeats_all_text_does_not_double_it(tmp_path, last):
    pieces = [LONG[:5], LONG[5:20], LONG[20:]]
    records = [
        *(chunk({"content": each}) for each in pieces),
        {"choices": [{**last, "finish_reason": "stop"}]},
    ]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*records, usage_chunk())]))
    assert text(reply) in {LONG, f"{LONG} Bye."}
    assert finish(reply) == "STOP"


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@pytest.mark.parametrize("steps", [(4, 9, 20, 39), (1, 2, 3, 39), (4, 9, 9, 39, 39), (4, 39)])
@pytest.mark.parametrize("late", [0, 1])
async def test_text_that_grows_from_piece_to_piece_is_there_once(tmp_path, field, steps, late):
    grown = [chunk({field: LONG[:step]}) for step in steps]
    grown += [chunk({"content": "Yes."})] if field == "reasoning_content" else []
    ends = [chunk({}, "stop")] if late or field != "content" else [chunk({field: LONG}, "stop")]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*grown, *ends)]))
    assert (thoughts(reply), text(reply)) in [("", LONG), (LONG, "Yes.")]


@pytest.mark.parametrize(
    "pieces",
    [
        ["ha", "haha"],
        ["1", "10", "1"],
        [" ", "  ", "x"],
        ["\n", "\n\n"],
        ["  ", "    ", "        return x", "\n"],
        ["Good", "Good", " day"],
        ["a", "aa", "b"],
        [LONG, LONG],
    ],
)
async def test_pieces_that_only_seem_to_grow_are_all_there(tmp_path, pieces):
    records = [*(chunk({"content": each}) for each in pieces), chunk({}, "stop")]
    assert text(await reply_to(tmp_path, "stream", Answer([sse(*records)]))) == "".join(pieces)


async def test_a_short_last_piece_may_be_what_was_said_before(tmp_path):
    records = [chunk({"content": "ha"}), chunk({"content": "ha"}), chunk({"content": "haha"}, "stop")]
    assert text(await reply_to(tmp_path, "stream", Answer([sse(*records)]))) == "hahahaha"


# Finish reasons and errors


@pytest.mark.parametrize("field", ["finishReason", "finish_details", "native_finish_reason"])
async def test_a_finish_reason_has_other_names(tmp_path, field):
    said = {"type": "stop"} if field == "finish_details" else "stop"
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": None, field: said}]}
    reply = await reply_to(tmp_path, "stream", Answer([sse(chunk({"content": "Hi"}), last)]))
    assert finish(reply) == "STOP"


@pytest.mark.parametrize(("reason", "meaning"), [("length", "LENGTH"), ("content_filter", "CONTENT_FILTER")])
async def test_a_bare_stop_does_not_make_an_incomplete_reply_complete(tmp_path, reason, meaning):
    records = [chunk({"content": "Hi"}), chunk({}, reason), *END]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*records)]))
    assert (finish(reply), reply.raw_finish_reason) == (meaning, reason)


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "BACKEND_RATE_LIMITED"),
        ({"base_resp": {"status_code": 1027, "status_msg": "sensitive"}}, "BACKEND_CONTENT_FILTER"),
        ({"error": "overloaded"}, "BACKEND_OVERLOADED"),
    ],
)
async def test_an_empty_reply_beside_an_error_is_that_error(tmp_path, rpc, record, reason):
    body = {**completion({"content": ""}), **record}
    answer = whole(body) if rpc == "generate" else Answer([sse({**chunk({}, "stop"), **record})])
    async with served(tmp_path, CHAT) as (backend, client):
        backend.will(answer)
        assert (await client.fault(asks(), rpc)).reason == reason


@pytest.mark.parametrize("said", [{"message": "OK"}, {"detail": "x", "code": 200}, {"error": "None"}])
async def test_words_beside_an_empty_reply_are_no_error_without_a_code(tmp_path, said):
    reply = await reply_to(tmp_path, "generate", whole({**completion({"content": ""}), **said}))
    assert (text(reply), finish(reply)) == ("", "STOP")


@pytest.mark.parametrize("said", [{"error": "none"}, {"error": {"code": 0, "message": "success"}}])
async def test_an_error_that_says_that_there_is_none_is_none(tmp_path, said):
    assert text(await reply_to(tmp_path, "generate", whole({**completion(), **said}))) == "Good evening."


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"code": 500, "msg": "it broke"}, "BACKEND_FAILED"),
        ({"errors": [{"message": "it broke"}]}, "BACKEND_FAILED"),
        ({"status": 503, "detail": "no capacity"}, "BACKEND_OVERLOADED"),
    ],
)
async def test_another_vendors_error_after_some_text_is_an_error(tmp_path, record, reason):
    async with served(tmp_path, CHAT) as (backend, client):
        backend.will(Answer([sse(chunk({"content": "Hi"}), record)]))
        assert (await client.fault(asks(), "stream")).reason == reason


# Calls


@pytest.mark.parametrize(
    "given",
    [
        # All calls once more, with and without ids; in other white space.
        [[call(0, None, "tables_reserve", PEOPLE)], [call(1, None, "clock_now", ZONE)], None],
        [[call(0, "a", "tables_reserve", PEOPLE)], [call(1, "b", "clock_now", ZONE)], None],
        [[call(None, None, "tables_reserve", PEOPLE), call(None, None, "clock_now", ZONE)], None],
        [
            [call(0, "a", "tables_reserve", PEOPLE), call(1, "b", "clock_now", ZONE)],
            [call(0, "a", "tables_reserve", '{"people":4}')],
            [call(1, "b", "clock_now", '{ "zone" : "UTC" }')],
        ],
    ],
)
async def test_calls_that_come_once_more_are_not_doubled(tmp_path, given):
    everything = [each for fragments in given if fragments for each in fragments]
    records = [chunk({"tool_calls": each or everything}) for each in given]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*records, chunk({}, "tool_calls"))]))
    assert (calls(reply), finish(reply)) == ([ONE, TWO], "TOOL_CALLS")


async def test_a_call_that_the_vendor_makes_itself_is_left_out(tmp_path):
    own = {"index": 0, "id": "w", "type": "web_browser", "web_browser": {"input": "tables", "outputs": []}}
    records = [chunk({"tool_calls": [own]}), chunk({"content": "Yes."}), *END]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*records)]))
    assert (text(reply), calls(reply), finish(reply)) == ("Yes.", [], "STOP")


@pytest.mark.parametrize("odd", [7, 1.5, True, "clock_now", ["clock_now"], {"0": {}}])
async def test_calls_that_are_none_are_a_model_error_beside_the_text(tmp_path, odd):
    records = [chunk({"content": "Wait."}), chunk({"tool_calls": odd}), chunk({}, "tool_calls")]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*records)]))
    assert (text(reply), calls(reply), finish(reply)) == ("Wait.", [], "MODEL_ERROR")


async def test_two_calls_of_one_tool_stay_two(tmp_path):
    given = [call(0, None, "clock_now", json.dumps({"zone": each})) for each in ("UTC", "CET")]
    records = [chunk({"tool_calls": [each]}) for each in given]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*records, chunk({}, "tool_calls"))]))
    assert calls(reply) == [("clock.now", {"zone": "UTC"}), ("clock.now", {"zone": "CET"})]


async def test_pieces_of_arguments_may_be_equal(tmp_path):
    pieces = ['{"zone":', '{"zone":', '"UTC"}}']
    given = [call(0, "c1", "clock_now"), *(call(0, arguments=each) for each in pieces)]
    records = [chunk({"tool_calls": [each]}) for each in given]
    reply = await reply_to(tmp_path, "stream", Answer([sse(*records, chunk({}, "tool_calls"))]))
    assert calls(reply) == [("clock.now", {"zone": {"zone": "UTC"}})]


# Usage


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # A total that counts twice what was cached says nothing about the output.
        ({**usage(70, 30, cached_tokens=50), "total_tokens": 150}, (70, 30, 50)),
        ({**usage(70, 30), "total_tokens": 170}, (70, 100, 0)),
        (usage(70, 30, num_cached_tokens=50), (70, 30, 50)),
        (usage(70, 30, prompt_token_details={"cached_tokens": 50}), (70, 30, 50)),
    ],
)
async def test_totals_and_cached_tokens_are_billed_once(tmp_path, counts, expected):
    reported = (await reply_to(tmp_path, "generate", whole(completion(usage=counts)))).usage
    assert (reported.input_tokens, reported.output_tokens, reported.cached_tokens) == expected
