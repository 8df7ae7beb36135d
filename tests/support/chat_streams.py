"""Decodes streams of Chat Completions without a network, cut anywhere."""

from __future__ import annotations

from clawdbot_model_gateway.formats.chat.response import ResponseDecoder
from clawdbot_model_gateway.formats.chat.tool_names import ToolNames
from clawdbot_model_gateway.formats.json_stream import JsonStreamDecoder
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.http import ErrorMapper
from hypothesis import strategies as st

from tests.support.fake_openai import sse
from tests.support.generate_requests import check_grammar


def read(*pieces: bytes):
    """All events of a stream that ends after these pieces."""
    decoder, out = stream_decoder(), []
    for piece in pieces:
        decoder.feed(piece, out)
    if not decoder.finished:
        decoder.end(out)
    return out


def stream_decoder() -> JsonStreamDecoder:
    return JsonStreamDecoder(EventParser(), response_decoder())


def response_decoder() -> ResponseDecoder:
    names = ToolNames(["tables.reserve", "clock.now"])
    return ResponseDecoder("asked-for", [], names, ErrorMapper(["sk-secret-0123456789"]))


def reply_to(*chunks, **options):
    """The events of chunks, checked to be well-formed."""
    events = read(sse(*chunks, **options))
    check_grammar(events)
    return events


def call(index=0, call_id=None, name=None, arguments=None):
    """A fragment of a tool call; fields that are None are left out."""
    fragment = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    fragment["function"] = {key: each for key, each in fragment["function"].items() if each is not None}
    return {key: each for key, each in fragment.items() if each not in (None, {})}


@st.composite
def cut(draw, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes, cut anywhere."""
    data = draw(whole)
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
