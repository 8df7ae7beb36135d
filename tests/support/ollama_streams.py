"""Decodes streams of /api/chat without a network."""

from __future__ import annotations

from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.ollama.response import ResponseDecoder
from clawdbot_model_gateway.formats.record_parsers import LineOrEventParser
from clawdbot_model_gateway.http import ErrorMapper

from tests.support.fake_ollama import ndjson
from tests.support.generate_requests import check_grammar


def stream_decoder() -> JsonStreamDecoder:
    names = ToolNames(["tables.reserve", "clock.now"])
    reply = ResponseDecoder("asked-for", [], names, ErrorMapper(["sk-secret-0123456789"]))
    return JsonStreamDecoder(LineOrEventParser(), reply)


def read(*pieces: bytes):
    """All events of a stream that ends after these pieces."""
    decoder, out = stream_decoder(), []
    for piece in pieces:
        decoder.feed(piece, out)
    if not decoder.finished:
        decoder.end(out)
    return out


def reply_to(*lines, **options):
    """The events of lines, checked to be well-formed."""
    events = read(ndjson(*lines, **options))
    check_grammar(events)
    return events
