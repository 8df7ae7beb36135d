"""Decodes replies of the Messages API without a network."""

from __future__ import annotations

from clawdbot_model_client.accumulator import accumulate
from clawdbot_model_gateway.formats.anthropic.response import ResponseDecoder
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_servicekit.structs import to_plain

from tests.support.fake_anthropic import sse
from tests.support.generate_requests import check_grammar


def stream_decoder() -> JsonStreamDecoder:
    return JsonStreamDecoder(EventParser(), response_decoder())


def response_decoder() -> ResponseDecoder:
    names = ToolNames(["tables.reserve", "clock.now"])
    return ResponseDecoder("asked-for", [], names, ErrorMapper(["sk-secret-0123456789"]))


def read(*pieces: bytes):
    """All events of a stream that ends after these pieces."""
    decoder, out = stream_decoder(), []
    for piece in pieces:
        decoder.feed(piece, out)
    if not decoder.finished:
        decoder.end(out)
    return out


def reply_to(*events, **options):
    """Our events for the vendor's, checked to be well-formed."""
    out = read(sse(*events, **options))
    check_grammar(out)
    return out


def whole(message):
    """The events of a reply that came at once."""
    return response_decoder().decode_whole(message)


def calls_of(events):
    """Id, name and arguments of each call that is complete."""
    found = [part.tool_call for part in accumulate(events).message.parts if part.HasField("tool_call")]
    return [(each.id, each.name, to_plain(each.arguments)) for each in found]
