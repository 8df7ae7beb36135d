"""Parses server-sent events of JSON from bytes (WHATWG HTML, 9.2.6), wherever the network cuts them.

Lines may end in CR, LF or CRLF. It decodes nothing before a line is complete, so a cut inside a character
does no harm. It ignores `id` and `retry`, and reads JSON that has no field.
"""

from __future__ import annotations

from typing import Final

from typing_extensions import override

from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats.json_stream import Record, RecordParser
from clawdbot_model_gateway.formats.vendor_json import is_object
from clawdbot_model_gateway.http.whole_bodies import BYTE_ORDER_MARK

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""An event that never ends must not fill the memory."""

MAX_BARE_LINES: Final = 1000
"""Lines of JSON without a field: each of them may be its last."""


class EventParser(RecordParser):
    """Parses one stream. An event's data is its data lines, joined by LF."""

    def __init__(self) -> None:
        self._at_start = True
        self._after_cr = False
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._size = 0
        self._is_bare = False
        """Whether the data is JSON without a field, of which more lines may follow."""

    @override
    def feed(self, data: bytes) -> list[Record]:
        data = self._normalize(data)
        if b"\n" not in data:
            self._append(data)
            return []
        first, *lines = data.split(b"\n")
        self._line.append(first)
        lines.insert(0, b"".join(self._line))
        rest = lines.pop()
        self._line.clear()
        events: list[Record] = []
        for line in lines:
            if not line:
                self._dispatch(events)
            else:
                self._parse_line(line, events)
        self._size = sum(map(len, self._data))
        self._append(rest)
        return events

    @override
    def end(self) -> list[Record]:
        line = b"".join(self._line)
        self._line.clear()
        events: list[Record] = []
        if line:
            self._parse_line(line, events)
        self._dispatch(events)
        return events

    def _normalize(self, data: bytes) -> bytes:
        """Makes every line end in LF. A CR ends its line at once; its LF may come with the next data."""
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _append(self, data: bytes) -> None:
        if data:
            self._line.append(data)
            self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            raise ProtocolViolation(f"an event of the stream is larger than {MAX_EVENT_BYTES} bytes")

    def _parse_line(self, line: bytes, events: list[Record]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(BYTE_ORDER_MARK)
        if self._data and line.startswith((b"data:", b"event:", b"{")) and is_object(self._data[0]):
            # Some servers leave out the empty lines; a JSON object cannot go on after its end.
            self._dispatch(events)
        if line.startswith(b"{") or self._is_bare:
            # Errors of servers that forget that they stream, and lines of JSON.
            self._data.append(line)
            whole = line.endswith(b"}") and is_object(b"\n".join(self._data))
            self._is_bare = not whole and len(self._data) < MAX_BARE_LINES
            if not self._is_bare:
                self._dispatch(events)
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            self._data.append(b"")
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ")
        elif line.startswith(b"error:"):
            # Of llama.cpp's server.
            self._data.append(line[6:])
            self._name = b"error"

    def _dispatch(self, events: list[Record]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(Record(data, self._name))
            self._data.clear()
        self._is_bare = False
        self._name = b""
