"""Streams of the Messages API, read without a network."""

from __future__ import annotations

from clawdbot_model_gateway.formats.anthropic.response import MessageStream
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.http import VendorErrors

from tests.support.fake_anthropic import sse
from tests.support.generating import check_grammar


def stream_of() -> MessageStream:
    names = ToolNames(["tables.reserve", "clock.now"])
    return MessageStream("asked-for", [], names, VendorErrors(["sk-secret-0123456789"]))


def read(*pieces: bytes):
    """All events of a stream that ends after these pieces."""
    stream, found = stream_of(), []
    for piece in pieces:
        stream.feed(piece, found)
    if not stream.over:
        stream.end(found)
    return found


def reply_to(*events, **options):
    """The standard's events of the vendor's, well-formed."""
    found = read(sse(*events, **options))
    check_grammar(found)
    return found


def whole(message):
    """The events of a reply that came at once."""
    found = []
    stream_of().whole(message, found)
    return found
