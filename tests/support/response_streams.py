"""Streams of the Responses API's events, read without a network."""

from __future__ import annotations

from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.responses.response import ReplyReader
from clawdbot_model_gateway.formats.responses.stream import ResponseStream
from clawdbot_model_gateway.http import VendorErrors

from tests.support.fake_responses import sse
from tests.support.generating import check_grammar


def reader() -> ReplyReader:
    names = ToolNames(["tables.reserve", "clock.now"])
    return ReplyReader("asked-for", [], names, VendorErrors(["sk-secret-0123456789"]))


def read(*pieces: bytes) -> list[Event]:
    """All events of a stream that ends after these pieces."""
    stream = ResponseStream(reader())
    found: list[Event] = []
    for piece in pieces:
        stream.feed(piece, found)
    if not stream.over:
        stream.end(found)
    return found


def reply_to(*told, **options) -> list[Event]:
    """The events of a stream, well-formed."""
    events = read(sse(*told, **options))
    check_grammar(events)
    return events
