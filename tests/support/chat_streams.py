"""Streams of Chat Completions' events, read without a network, and cut anywhere."""

from __future__ import annotations

from clawdbot_model_gateway.formats.chat.response import ReplyReader
from clawdbot_model_gateway.formats.chat.stream import ChatStream
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.http import VendorErrors
from hypothesis import strategies as st

from tests.support.fake_openai import sse
from tests.support.generating import check_grammar


def read(*pieces: bytes):
    """All events of a stream that ends after these pieces."""
    stream, found = stream_of(), []
    for piece in pieces:
        stream.feed(piece, found)
    if not stream.over:
        stream.end(found)
    return found


def stream_of() -> ChatStream:
    errors = VendorErrors(["sk-secret-0123456789"])
    names = ToolNames(["tables.reserve", "clock.now"])
    return ChatStream(ReplyReader("asked-for", [], names, errors), errors)


def reply_to(*chunks, **options):
    """The events of chunks, well-formed."""
    events = read(sse(*chunks, **options))
    check_grammar(events)
    return events


def call(index=0, call_id=None, name=None, arguments=None):
    """A piece of a tool call, with as much of it as is given."""
    piece = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    piece["function"] = {key: each for key, each in piece["function"].items() if each is not None}
    return {key: each for key, each in piece.items() if each not in (None, {})}


@st.composite
def cut(draw, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes, cut anywhere."""
    text = draw(whole)
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]
