"""Facts about the streams of all vendors: what the end of a connection, and what is no content, mean."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import (
    BackendFailed,
    BackendOverloaded,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
)

from tests.support import (
    anthropic_streams,
    chat_streams,
    fake_anthropic,
    fake_gemini,
    fake_ollama,
    fake_openai,
    fake_responses,
    gemini_streams,
    ollama_streams,
    responses_streams,
)
from tests.support.generate_requests import check_grammar, finish_of, text_of

REPLIES = {
    "chat": (chat_streams.read, fake_openai.sse(*fake_openai.text_chunks("Good", " evening"))),
    "responses": (
        responses_streams.read,
        fake_responses.sse(*fake_responses.streamed(fake_responses.message("Good evening"))),
    ),
    "anthropic": (anthropic_streams.read, fake_anthropic.sse(*fake_anthropic.reply("Good", " evening"))),
    "gemini": (gemini_streams.read, fake_gemini.sse(*fake_gemini.text_chunks("Good", " evening"))),
    "ollama": (ollama_streams.read, fake_ollama.ndjson(*fake_ollama.text_lines("Good", " evening"))),
}
"""Vendor → how its streams are read, and a reply."""


@pytest.mark.parametrize("vendor", REPLIES)
def test_a_reply_that_breaks_off_inside_a_record_is_truncated_or_has_not_begun(vendor):
    read, stream = REPLIES[vendor]
    finishes = []
    for size in range(len(stream)):
        try:
            events = read(stream[:size])
        except ProtocolViolation:
            assert not finishes
        else:
            check_grammar(events)
            assert "Good evening".startswith(text_of(events) or "no text")
            finishes.append(finish_of(events))
    # Where the end of the stream is optional, the last few bytes are not missed.
    assert sorted(finishes, key=("truncated", "stop").index) == finishes
    assert "truncated" in finishes


EMPTY = {
    "chat": (
        chat_streams.read,
        fake_openai.sse(
            fake_openai.usage_chunk(),
            *(fake_openai.chunk({each: ""}) for each in ("content", "reasoning", "refusal")),
            fake_openai.chunk(
                {"content": [{"type": "text", "text": ""}, {"type": "thinking", "thinking": ""}]}
            ),
            fake_openai.chunk({"tool_calls": [chat_streams.call(0, "c1", arguments="{}")]}),
            done=False,
        ),
    ),
    "responses": (
        responses_streams.read,
        fake_responses.sse(
            fake_responses.created(),
            *fake_responses.item_events(0, fake_responses.reasoning("", encrypted=None)),
            *fake_responses.item_events(1, fake_responses.message("")),
            fake_responses.event("output_text.delta", delta="", output_index=2, content_index=0),
        ),
    ),
    "anthropic": (
        anthropic_streams.read,
        fake_anthropic.sse(
            fake_anthropic.begin(),
            *fake_anthropic.says(""),
            *fake_anthropic.thinks("", signature="", index=1),
            fake_anthropic.start(2, {"type": "redacted_thinking", "data": ""}),
            fake_anthropic.stop(2),
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}},
        ),
    ),
    "gemini": (
        gemini_streams.read,
        fake_gemini.sse(
            *(
                fake_gemini.chunk(each, usage=fake_gemini.counts())
                for each in (
                    {"text": ""},
                    {"text": "", "thought": True},
                    {"text": "", "thoughtSignature": ""},
                )
            )
        ),
    ),
    "ollama": (
        ollama_streams.read,
        fake_ollama.ndjson(
            fake_ollama.line(**fake_ollama.counts()),
            fake_ollama.line({"thinking": ""}),
            fake_ollama.line({"tool_calls": []}),
        ),
    ),
}
"""Vendor → how its streams are read, and what begins a reply and contains nothing: usage, empty pieces."""


@pytest.mark.parametrize("vendor", EMPTY)
def test_usage_and_empty_pieces_are_no_content(vendor):
    read, stream = EMPTY[vendor]
    with pytest.raises(ProtocolViolation, match="before the reply began"):
        read(stream)


@pytest.mark.parametrize("vendor", ["chat", "responses", "anthropic", "gemini"])
def test_events_that_keep_the_connection_alive_are_ignored(vendor):
    read, stream = REPLIES[vendor]
    assert text_of(read(b"event: ping\ndata: 2026-01-01\n\n", stream)) == "Good evening"


SSE = ["chat", "responses", "anthropic", "gemini"]
FIRST_END = b"\n\n"


@pytest.mark.parametrize("vendor", SSE)
@pytest.mark.parametrize(
    "sign",
    [
        *(
            b"event: Ping\ndata: x",
            b"event: keep_alive\ndata: x",
            b"event: HEARTBEAT\ndata: 1",
            b"data: ping",
        ),
        *(
            b'data: "ping"',
            b"data: null",
            b'data: ""',
            b"data: []",
            b"data: Keep-Alive",
            b"data: : x",
            b"data: ping",
        ),
        *(
            b"data: [PING]",
            b"data: [heartbeat]",
            b"data: keep alive",
            b"data: .",
            b"data: -",
            b"data: [null]",
        ),
        *(b"data: OPENROUTER PROCESSING", b"data: still working", b"data: undefined", b"data: <ping>"),
        *(b"event: tick\ndata: x", b"event: heartbeat\ndata: {}", b'data: {"type": "heartbeat"}', b"ping"),
        *(b'data: {"status": "processing"}', b'data: {"event": "queued", "position": 3}', b"data: \0"),
        *(b'data: {"type": "ping", "data": {}}', b'event: ping\ndata: {"type": "ping"}'),
        *(b"data: connected", b"data: [START]", b"data: ok", b"event: status\ndata: 50%"),
        *(b"data: 2026-11-30T12:00:00Z", b"data: thinking..."),
        *(b'data: {"heartbeat": true}', b"data: {}", b'data: {"error": null}', b"data: \xef\xbb\xbf", b"\0"),
    ],
)
def test_any_sign_of_life_leaves_the_stream_alone(vendor, sign):
    read, stream = REPLIES[vendor]
    first, rest = stream.replace(b"\r", b"").split(FIRST_END, 1)
    events = read(sign + FIRST_END, first + FIRST_END, sign + FIRST_END, rest)
    assert (text_of(events), finish_of(events)) == ("Good evening", "stop")


@pytest.mark.parametrize(
    "sign",
    ["{}", '{"status": "processing"}', '{"type": "ping"}', '{"error": null}', "ping", ": ping", "[]", "."],
)
def test_any_sign_of_life_leaves_lines_alone(sign):
    read, stream = REPLIES["ollama"]
    first, rest = stream.split(b"\n", 1)
    line = sign.encode() + b"\n"
    for pieces in ((line, stream), (first + b"\n", line, rest)):
        events = read(*pieces)
        assert (text_of(events), finish_of(events)) == ("Good evening", "stop")
        assert events[0].started.model != "asked-for"


WORKING = {
    "status": lambda record: b"data: " + json.dumps({**record, "status": "processing"}).encode(),
    "event": lambda record: b"event: processing\ndata: " + json.dumps(record).encode(),
    "flag": lambda record: b"data: " + json.dumps({"heartbeat": False, **record}).encode(),
}
"""Where a server says that it works on a reply, beside a piece of it."""


@pytest.mark.parametrize("working", WORKING)
def test_a_piece_that_says_that_more_will_come_is_content(working):
    delta = {"choices": [{"index": 0, "delta": {"content": "hi"}}]}
    last = fake_openai.sse(fake_openai.chunk({}, "stop"))
    assert text_of(chat_streams.read(WORKING[working](delta) + FIRST_END, last)) == "hi"
    candidate = {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]}
    last = fake_gemini.sse(fake_gemini.chunk({"text": "!"}, finish="STOP"))
    assert text_of(gemini_streams.read(WORKING[working](candidate) + FIRST_END, last)) == "hi!"


def test_the_type_of_an_event_says_more_than_its_name():
    piece = {"type": "response.output_text.delta", "delta": "hi"}
    ended = fake_responses.sse(fake_responses.ended(fake_responses.message("hi there")))
    stream = WORKING["event"](piece) + FIRST_END, ended.replace(b"hi there", b"hi")
    assert text_of(responses_streams.read(*stream)) == "hi"
    end = fake_anthropic.sse(*fake_anthropic.reply("Yes.")[:-1])
    events = anthropic_streams.read(end, WORKING["event"]({"type": "message_stop"}) + FIRST_END)
    assert (text_of(events), finish_of(events)) == ("Yes.", "stop")


@pytest.mark.parametrize("vendor", REPLIES)
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"message": "queue full", "code": 429}, "status": "queued"}, RateLimited),
        ({"error": "out of memory", "status": "waiting"}, BackendFailed),
        ({"type": "processing", "error": "out of memory"}, BackendFailed),
        ({"status": "queued", "error_msg": "insufficient balance"}, QuotaExhausted),
        ({"status": "none", "errors": [{"message": "insufficient balance"}]}, QuotaExhausted),
    ],
)
def test_an_error_of_a_request_that_waited_is_no_sign_of_life(vendor, error, kind):
    read, _ = REPLIES[vendor]
    record = json.dumps(error).encode()
    with pytest.raises(kind):
        read(record + b"\n" if vendor == "ollama" else b"data: " + record + FIRST_END)


@pytest.mark.parametrize("vendor", SSE)
@pytest.mark.parametrize(
    "error", [b'{"error": {"message": "boom", "code": 503}}', b'error: {"message": "boom", "code": 503}']
)
def test_an_error_that_is_no_event_is_one_all_the_same(vendor, error):
    read, stream = REPLIES[vendor]
    first = stream.replace(b"\r", b"").split(FIRST_END, 1)[0] + FIRST_END
    pretty = error.replace(b", ", b",\n ").replace(b"{", b"{\n") if error.startswith(b"{") else error
    for pieces in ((error + b"\n",), (first, error + FIRST_END), (first, error), (first, pretty + b"\n")):
        with pytest.raises(BackendOverloaded, match="boom"):
            read(*pieces)


@pytest.mark.parametrize("vendor", SSE)
def test_a_plain_text_that_says_that_it_is_an_error_is_one(vendor):
    read, _ = REPLIES[vendor]
    with pytest.raises(BackendOverloaded, match="overloaded"):
        read(b"data: Error: the engine is overloaded\n\n")


@pytest.mark.parametrize("vendor", ["chat", "anthropic", "gemini", "ollama"])
@pytest.mark.parametrize(
    "last", ["[DONE]", "DONE", "[done]", '"[DONE]"', "all is said", "[1]", "<html>", "{'a': 1}"]
)
def test_whatever_comes_after_a_finish_reason_ends_the_stream(vendor, last):
    read, stream = REPLIES[vendor]
    stream = stream.replace(b"data: [DONE]\n\n", b"").replace(
        fake_anthropic.sse({"type": "message_stop"}), b""
    )
    end = f"{last}\n" if vendor == "ollama" else f"event: done\ndata: {last}\n\n"
    events = read(stream, end.encode())
    assert (text_of(events), finish_of(events)) == ("Good evening", "stop")


@pytest.mark.parametrize("vendor", SSE)
def test_a_plain_text_that_is_called_an_error_is_one(vendor):
    read, _ = REPLIES[vendor]
    with pytest.raises(BackendOverloaded, match="overloaded"):
        read(b"event: error\ndata: The engine is overloaded\n\n")


@pytest.mark.parametrize("vendor", REPLIES)
def test_another_vendors_error_in_place_of_the_reply_is_quoted(vendor):
    read, _ = REPLIES[vendor]
    for error in (
        b'{"choices": null, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}',
        b'{"code": "1113", "msg": "insufficient balance"}',
        b'{"detail": "insufficient balance"}',
    ):
        with pytest.raises(QuotaExhausted, match="insufficient balance"):
            read(error + b"\n" if vendor == "ollama" else b"data: " + error + b"\n\n")


@pytest.mark.parametrize("vendor", SSE)
def test_rubbish_in_the_middle_of_a_reply_is_an_error_that_quotes_it(vendor):
    read, stream = REPLIES[vendor]
    first, _ = stream.replace(b"\r", b"").split(FIRST_END, 1)
    with pytest.raises(ProtocolViolation, match="nothing to see"):
        read(first + FIRST_END, b"data: nothing to see\n\n")
