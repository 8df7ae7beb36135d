"""Streams of the Gemini API's events, read without a network."""

from __future__ import annotations

from clawdbot_model_gateway.core.events import Event
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.gemini.errors import GeminiErrors
from clawdbot_model_gateway.formats.gemini.response import ReplyReader
from clawdbot_model_gateway.formats.gemini.stream import GeminiStream

from tests.support.fake_gemini import sse
from tests.support.generating import check_grammar


def reader() -> ReplyReader:
    names = ToolNames(["tables.reserve", "clock.now"], letter_first=True)
    return ReplyReader("asked-for", [], names, GeminiErrors(["AIza-secret-0123456789"]))


def read(*pieces: bytes) -> list[Event]:
    """All events of a stream that ends after these pieces."""
    stream = GeminiStream(reader())
    found: list[Event] = []
    for piece in pieces:
        stream.feed(piece, found)
    stream.end(found)
    return found


def whole(reply: object) -> list[Event]:
    """The events of a reply that came at once."""
    reading = reader()
    return [*reading.take(reply), *reading.end()]


def reply_to(*chunks, **options) -> list[Event]:
    """The events of chunks, well-formed."""
    events = read(sse(*chunks, **options))
    check_grammar(events)
    return events
