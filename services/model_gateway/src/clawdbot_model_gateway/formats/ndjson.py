"""Splits bytes into lines of JSON (newline-delimited JSON), wherever the network cuts them.

It decodes nothing before a line is complete, so a cut inside a character does no harm. A document that a
server spreads over several lines, for people to read, is one record as well.
"""

from __future__ import annotations

import json
import re
from typing import Final

from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats.json_stream import Record, RecordParser
from clawdbot_model_gateway.formats.vendor_json import load_exactly

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""A line that never ends must not fill the memory."""
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


class LineParser(RecordParser):
    """Parses one stream. Its records are the lines, without their ends; empty lines are left out.

    A line ends in LF or CRLF; a CR elsewhere is white space to JSON and stays.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._size = 0

    @override
    def feed(self, data: bytes) -> list[Record]:
        first, *lines = data.split(b"\n")
        self._append(first)
        if not lines:
            return []
        rest = lines.pop()
        lines.insert(0, self._pop_line())
        self._append(rest)
        return [Record(stripped) for line in lines if (stripped := line.strip())]

    @override
    def end(self) -> list[Record]:
        line = self._pop_line().strip()
        return [Record(line)] if line else []

    def _append(self, data: bytes) -> None:
        if data:
            self._line.append(data)
            self._size += len(data)
        if self._size > MAX_LINE_BYTES:
            raise ProtocolViolation(f"a line of the stream is longer than {MAX_LINE_BYTES} bytes")

    def _pop_line(self) -> bytes:
        line = b"".join(self._line)
        self._line.clear()
        self._size = 0
        return line


class DocumentParser(RecordParser):
    """Parses one stream of JSON documents. Each begins on a line of its own, and most are one line.

    The records are the documents; of a list, what is in it.
    """

    def __init__(self) -> None:
        self._lines = LineParser()
        self._begun: list[bytes] = []
        """The lines of a document that goes on."""
        self._depth = 0
        """Objects and lists that are open in it."""
        self._size = 0

    @override
    def feed(self, data: bytes) -> list[Record]:
        return self._join(self._lines.feed(data))

    @override
    def end(self) -> list[Record]:
        records = self._join(self._lines.end())
        return [*records, *self._pop()] if self._begun else records

    def _join(self, lines: list[Record]) -> list[Record]:
        documents: list[Record] = []
        for line in lines:
            if not self._begun and _stands_alone(line.data):
                documents.append(line)
                continue
            self._append(line.data)
            if self._depth <= 0:
                documents += self._pop()
        return documents

    def _append(self, line: bytes) -> None:
        bare = _STRING.sub(b"", line)
        self._depth += bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
        if b'"' in bare:
            # No string goes on in the next line: this document has been cut, and is no JSON.
            self._depth = 0
        self._begun.append(line)
        self._size += len(line)
        if self._size > MAX_LINE_BYTES:
            raise ProtocolViolation(f"a document of the stream is longer than {MAX_LINE_BYTES} bytes")

    def _pop(self) -> list[Record]:
        document = b"\n".join(self._begun)
        self._begun.clear()
        self._depth = self._size = 0
        return _records_of(document)


def _stands_alone(line: bytes) -> bool:
    """Whether it is a whole document, as nearly every line, or the beginning of none."""
    if line[:1] == b"{":
        return line[-1:] == b"}" and line.count(b"{") == line.count(b"}")
    return line[:1] != b"["


def _records_of(document: bytes) -> list[Record]:
    if document[:1] == b"[":
        try:
            elements = load_exactly(document)
        except (ValueError, RecursionError):
            elements = []
        if elements:
            return [Record(json.dumps(each).encode()) for each in elements]
    return [Record(document)]
