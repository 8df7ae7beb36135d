"""Decodes replies of the Gemini API without a network."""

from __future__ import annotations

from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini.response import ResponseDecoder
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.http import ErrorMapper

from tests.support.fake_gemini import sse
from tests.support.generate_requests import check_grammar


def response_decoder() -> ResponseDecoder:
    names = ToolNames(["tables.reserve", "clock.now"], letter_first=True)
    return ResponseDecoder("asked-for", [], names, ErrorMapper(["AIza-secret-0123456789"]))


def stream_decoder() -> JsonStreamDecoder:
    return JsonStreamDecoder(EventParser(), response_decoder())


def read(*pieces: bytes) -> list[Event]:
    """All events of a stream that ends after these pieces."""
    decoder = stream_decoder()
    out: list[Event] = []
    for piece in pieces:
        decoder.feed(piece, out)
    decoder.end(out)
    return out


def whole(reply: object) -> list[Event]:
    """The events of a reply that came at once."""
    return response_decoder().decode_whole(reply)


def reply_to(*chunks, **options) -> list[Event]:
    """The events of chunks, checked to be well-formed."""
    events = read(sse(*chunks, **options))
    check_grammar(events)
    return events
