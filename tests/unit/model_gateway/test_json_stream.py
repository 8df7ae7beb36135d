"""Facts about the streams of all vendors: what the end of a connection, and what is no content, mean."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.errors import ProtocolViolation

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


@pytest.mark.parametrize("vendor", ["chat", "responses", "anthropic", "gemini"])
def test_events_that_keep_the_connection_alive_are_ignored(vendor):
    read, stream = REPLIES[vendor]
    assert text_of(read(b"event: ping\ndata: 2026-01-01\n\n", stream)) == "Good evening"
