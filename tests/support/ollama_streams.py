"""Streams of /api/chat, read without a network."""

from __future__ import annotations

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.ollama.stream import OllamaStream
from clawdbot_model_gateway.http import VendorErrors

from tests.support.fake_ollama import ndjson
from tests.support.generating import check_grammar


def stream_of() -> OllamaStream:
    errors = VendorErrors(["sk-secret-0123456789"])
    return OllamaStream("asked-for", [], ToolNames(["tables.reserve", "clock.now"]), errors)


def read(*pieces: bytes):
    """All events of a stream that ends after these pieces."""
    stream, found = stream_of(), []
    for piece in pieces:
        stream.feed(piece, found)
    if not stream.over:
        stream.end(found)
    return found


def reply_to(*lines, **options):
    """The events of lines, well-formed."""
    events = read(ndjson(*lines, **options))
    check_grammar(events)
    return events
