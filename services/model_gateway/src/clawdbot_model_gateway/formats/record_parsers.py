"""Tells what parses a response by what it begins with, whatever its content type says."""

from __future__ import annotations

import re
from typing import Final

from typing_extensions import override

from clawdbot_model_gateway.formats.json_stream import Record, RecordParser
from clawdbot_model_gateway.formats.ndjson import DocumentParser, LineParser
from clawdbot_model_gateway.formats.sse import EventParser
from clawdbot_model_gateway.formats.vendor_json import load_json
from clawdbot_model_gateway.http.whole_bodies import BYTE_ORDER_MARK

_EVENTS: Final = re.compile(rb"(?:\A|[\r\n]|\A\xef\xbb\xbf)[ \t]*(data|event|error|id|retry|):")
"""A line of a stream of events: a field, or a comment."""


def parser_of(body: bytes) -> RecordParser | None:
    """What parses a body that is no JSON document: events, or lines of JSON. None if it is neither."""
    if not body.lstrip().startswith(b"<") and _EVENTS.search(body):
        return EventParser()
    return LineParser() if _begins_with_a_line_of_json(body) else None


class LineOrEventParser(RecordParser):
    """Parses documents of JSON, or events if that is what the stream begins with."""

    def __init__(self) -> None:
        self._head = b""
        self._parser: RecordParser | None = None

    @override
    def feed(self, data: bytes) -> list[Record]:
        if self._parser is None:
            self._head += data
            data = self._head.removeprefix(BYTE_ORDER_MARK).lstrip()
            if BYTE_ORDER_MARK.startswith(data):
                return []  # Nothing has come yet, or the beginning of the mark.
            self._parser = DocumentParser() if data[:1] in b"{[" else EventParser()
            self._head = b""
        return self._parser.feed(data)

    @override
    def end(self) -> list[Record]:
        return self._parser.end() if self._parser is not None else []


def _begins_with_a_line_of_json(body: bytes) -> bool:
    line, end, _ = body.lstrip().partition(b"\n")
    try:
        load_json(line)
    except ValueError:
        return False
    return bool(end)
