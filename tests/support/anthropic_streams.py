"""Decodes replies of the Messages API without a network."""

from __future__ import annotations

from clawdbot_model_gateway.formats.anthropic.stream import AnthropicStreamDecoder
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.http import ErrorMapper

from tests.support.fake_anthropic import sse
from tests.support.generate_requests import check_grammar


def stream_decoder() -> AnthropicStreamDecoder:
    names = ToolNames(["tables.reserve", "clock.now"])
    return AnthropicStreamDecoder("asked-for", [], names, ErrorMapper(["sk-secret-0123456789"]))


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
    out = []
    stream_decoder().decode_whole(message, out)
    return out
