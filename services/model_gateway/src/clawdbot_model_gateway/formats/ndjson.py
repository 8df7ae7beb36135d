"""Splits bytes into lines of JSON (newline-delimited JSON), wherever the network cuts them.

It decodes nothing before a line is complete, so a cut inside a character does no harm.
"""

from __future__ import annotations

from typing import Final

from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats.json_stream import Record, RecordParser

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""A line that never ends must not fill the memory."""


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
