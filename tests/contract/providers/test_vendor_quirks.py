"""What vendors send differently: in every protocol where it can occur, through both RPCs that generate."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support import fake_anthropic, fake_gemini, fake_ollama, fake_responses
from tests.support.fake_openai import Answer, chunk, completion, sse, text_chunks, usage, usage_chunk, whole
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks, finish_of
from tests.support.wires import RPCS, WIRES, answer, event, labelled, parts, replies, served, text

EVENTS = [name for name, wire in WIRES.items() if not wire.lines]
"""Protocols of server-sent events."""


@pytest.fixture(params=WIRES)
def wire(request):
    return WIRES[request.param]


# Characters that are cut in two


@pytest.mark.parametrize("rpc", RPCS)
async def test_half_a_surrogate_pair_is_joined_or_replaced_and_the_reply_goes_on(tmp_path, wire, rpc):
    pieces = ["Hi \ud83d", "\ude00!", " \ud83d", " and \ude00", " \ud83d"]
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text(*pieces), wire.whole("".join(pieces))))
        reply = await replies(client, rpc)
    assert text(reply) == "Hi 😀! � and � �"
    assert not reply.truncated


async def test_the_bytes_of_a_character_may_be_cut_between_two_pieces(tmp_path):
    stream = sse(*text_chunks("Hi AB", "CD!")).replace(b"AB", b"\xf0\x9f").replace(b"CD", b"\x98\x80")
    async with served(tmp_path, WIRES["chat"]) as (backend, client):
        backend.will(Answer([stream]))
        assert text(await replies(client, "stream")) == "Hi 😀!"


# Events without data, and shapes


@pytest.mark.parametrize(
    "nothing",
    [b"data:\n\n", b"data: \n\n", b": hello\n\n", b"event: heartbeat\ndata: x\n\n"],
)
@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_without_data_is_skipped_wherever_it_comes(tmp_path, name, nothing):
    wire = WIRES[name]
    stream = nothing + nothing.join(map(wire.record, wire.text("Good", " evening"))) + nothing
    async with served(tmp_path, wire) as (backend, client):
        backend.will(Answer([stream]))
        assert text(await replies(client, "stream")) == "Good evening"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/octet-stream"])
async def test_a_stream_is_read_as_one_whatever_its_label(tmp_path, wire, content_type):
    async with served(tmp_path, wire) as (backend, client):
        backend.will(labelled(content_type, *map(wire.record, wire.text("Good", " evening"))))
        assert text(await replies(client, "stream")) == "Good evening"


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
async def test_events_are_read_where_a_document_or_lines_were_asked_for(tmp_path, wire, rpc, content_type):
    stream = b"".join(map(event, wire.text("Good", " evening")))
    async with served(tmp_path, wire) as (backend, client):
        backend.will(labelled(content_type, stream))
        assert text(await replies(client, rpc)) == "Good evening"


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain"])
async def test_a_document_is_read_where_a_stream_was_asked_for(tmp_path, wire, rpc, content_type):
    async with served(tmp_path, wire) as (backend, client):
        backend.will(labelled(content_type, json.dumps(wire.whole("Good evening")).encode()))
        assert text(await replies(client, rpc)) == "Good evening"


# Errors in a reply


SERVER_ERROR = {"code": "server_error", "message": "the upstream broke"}
ERROR = {"code": 502, "message": "the upstream broke"}
BROKEN = {
    "error": [chunk({"content": ""}, "error") | {"choices": [{"index": 0, "delta": {}, "error": ERROR}]}],
    "reason": [chunk({"content": ""}, "error")],
    "network": [chunk({"content": ""}, "network_error")],
    "both": [{"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": ERROR}]}],
}


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("broken", BROKEN)
async def test_an_error_inside_a_choice_makes_the_next_target_answer(tmp_path, rpc, broken):
    chat = WIRES["chat"]
    async with chat.serve() as first, chat.serve() as second:
        models = {
            "backends": {"one": compatible(first.url), "two": compatible(second.url)},
            "aliases": {"chat": ["one/fake-1", "two/fake-1"]},
        }
        async with gateway(tmp_path, models=models) as running:
            choices = BROKEN[broken][0]["choices"]
            body = {**completion(), "choices": [{**each, "message": each["delta"]} for each in choices]}
            first.will(Answer([sse(*BROKEN[broken])]) if rpc == "stream" else whole(body))
            second.will(Answer([sse(*text_chunks("Yes."))]) if rpc == "stream" else whole(completion()))
            result = await running.client.run(asks(model="chat"), rpc)
    assert finish_of(result) == "stop" if rpc == "stream" else text(result) == "Good evening."


FAILED = {
    "responses": [fake_responses.created(), fake_responses.ended(status="failed", error=SERVER_ERROR)],
    "anthropic": [fake_anthropic.begin(), *fake_anthropic.end("error")],
    "gemini": [{**fake_gemini.chunk(finish="ERROR")}],
    "ollama": [fake_ollama.last("error")],
}
FAILED_WHOLE = {
    "responses": fake_responses.response(status="failed", error=SERVER_ERROR),
    "anthropic": fake_anthropic.message(reason="error"),
    "gemini": fake_gemini.chunk(finish="ERROR"),
    "ollama": None,
}


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("name", FAILED)
async def test_a_finish_reason_that_means_an_error_is_one(tmp_path, name, rpc):
    wire = WIRES[name]
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, FAILED[name], FAILED_WHOLE[name]))
        error = await client.fault(asks(), rpc)
    assert error.reason == "BACKEND_FAILED"


# Usage


@pytest.mark.parametrize(
    "records",
    [
        [chunk({"content": "Yes."}), {**chunk({}, "stop"), "x_groq": {"usage": usage(70, 30)}}],
        [
            chunk({"content": "Yes."}),
            {**chunk({}, "stop"), "choices": [{**chunk({}, "stop")["choices"][0], "usage": usage(70, 30)}]},
        ],
        [chunk({"content": "Yes."}, usage=usage(70, 1)), chunk({}, "stop", usage=usage(0, 30))],
        [chunk({"content": "Yes."}, "stop"), usage_chunk(70, 30), usage_chunk(0, 0)],
        [chunk({"content": "Yes."}), chunk({}, "stop", timings={"prompt_n": 70, "predicted_n": 30})],
    ],
)
async def test_usage_is_counted_once_wherever_it_comes(tmp_path, records):
    async with served(tmp_path, WIRES["chat"]) as (backend, client):
        backend.will(Answer([sse(*records)]))
        reply = await replies(client, "stream")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (70, 30)


ZEROS = {
    "anthropic": [
        {"type": "message_start", "message": fake_anthropic.message(usage=fake_anthropic.usage(70, 1))},
        *fake_anthropic.says("Yes."),
        *fake_anthropic.end(counts={"input_tokens": 0, "output_tokens": 30}),
    ],
    "gemini": [
        fake_gemini.chunk({"text": "Yes"}, usage=fake_gemini.counts(70, 1)),
        fake_gemini.chunk({"text": "."}, finish="STOP", usage=fake_gemini.counts(0, 30)),
    ],
    "ollama": [
        fake_ollama.line({"content": "Yes."}, **fake_ollama.counts(70, 1)),
        fake_ollama.last("stop", **fake_ollama.counts(0, 30)),
    ],
    "responses": [
        fake_responses.created(),
        *fake_responses.item_events(0, fake_responses.message("Yes.")),
        {**fake_responses.ended(usage=fake_responses.usage(0, 30)), "usage": fake_responses.usage(70, 1)},
    ],
}


@pytest.mark.parametrize("name", ZEROS)
async def test_a_later_report_of_zero_takes_nothing_away(tmp_path, name):
    wire = WIRES[name]
    async with served(tmp_path, wire) as (backend, client):
        kind = "application/x-ndjson" if wire.lines else "text/event-stream"
        backend.will(labelled(kind, wire.stream(ZEROS[name])))
        reply = await replies(client, "stream")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (70, 30)


@pytest.mark.parametrize("reported", [{"cached_tokens": 50}, {"prompt_cache_hit_tokens": 50}])
async def test_cached_tokens_are_counted_at_the_top_level(tmp_path, reported):
    for more in ({"usage": {**usage(70, 30), **reported}}, {"usage": usage(70, 30), **reported}):
        async with served(tmp_path, WIRES["chat"]) as (backend, client):
            backend.will(Answer([sse(chunk({"content": "Yes."}), chunk({}, "stop", **more))]))
            reply = await replies(client, "stream")
        assert (reply.usage.input_tokens, reply.usage.cached_tokens) == (70, 50)


# Finish reasons


PAUSES = {
    "chat": [
        chunk({"role": "assistant"}, "stop"),
        chunk({"content": "Good"}, "stop"),
        chunk({"content": "."}, "stop"),
    ],
    "gemini": [
        {**each, "candidates": [{**each["candidates"][0], "finishReason": "STOP"}]}
        for each in WIRES["gemini"].text("Good", ".")
    ],
    "ollama": [
        {**each, "done": True, "done_reason": "stop"} for each in WIRES["ollama"].text("Good", ".")[:2]
    ],
}


@pytest.mark.parametrize("name", PAUSES)
async def test_a_finish_reason_with_every_piece_does_not_end_the_reply(tmp_path, name, monkeypatch):
    monkeypatch.setattr("clawdbot_model_gateway.http.response_stream.FINISH_TIMEOUT", 0.2)
    wire, pieces = WIRES[name], []
    for record in PAUSES[name]:
        go_on = asyncio.Event()
        asyncio.get_running_loop().call_later(0.6 * (len(pieces) // 2 + 1), go_on.set)
        pieces += [wire.record(record), go_on]
    async with served(tmp_path, wire) as (backend, client):
        backend.will(labelled("application/x-ndjson" if wire.lines else "text/event-stream", *pieces))
        reply = await replies(client, "stream")
    assert text(reply) == "Good."
    assert not reply.truncated


# Reasoning in the text

THOUGHT = ["<thi", "nk>\nA guest", " asks.\n</th", "ink>\n\nGood", " evening, <think> is a tag."]


@pytest.mark.parametrize("rpc", RPCS)
async def test_a_block_of_think_tags_at_the_start_is_reasoning(tmp_path, wire, rpc):
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text(*THOUGHT), wire.whole("".join(THOUGHT))))
        reply = await replies(client, rpc)
    assert "".join(each.text for each in parts(reply, "reasoning")) == "A guest asks."
    assert text(reply) == "Good evening, <think> is a tag."


@pytest.mark.parametrize(
    "case",
    [
        ("open", "Hm.", "Hm.", "Yes."),
        ("open", "<think>Hm.", "Hm.", "Yes."),
        ("never", "Hm.", "", "Hm.</think>Yes."),
        ("at_start", "Hm.", "", "Hm.</think>Yes."),
    ],
)
@pytest.mark.parametrize("name", ["chat", "ollama"])
async def test_the_configuration_says_where_think_tags_are(tmp_path, name, case):
    wire = WIRES[name]
    think_tags, given, reasoning, shown = case
    async with served(tmp_path, wire, think_tags=think_tags) as (backend, client):
        kind = "application/x-ndjson" if wire.lines else "text/event-stream"
        backend.will(labelled(kind, wire.stream(wire.text(given, "</thi", "nk>", "Yes."))))
        reply = await replies(client, "stream")
    assert "".join(each.text for each in parts(reply, "reasoning")) == reasoning
    assert text(reply) == shown
