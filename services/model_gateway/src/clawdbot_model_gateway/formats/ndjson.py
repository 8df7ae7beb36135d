"""Splits bytes into lines of JSON (newline-delimited JSON), wherever the network cuts them.

It decodes nothing before a line is complete, so a cut inside a character does no harm.
"""

from __future__ import annotations

from typing import Final

from clawdbot_model_gateway.core.errors import ProtocolViolation

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""A line that never ends must not fill the memory."""


class LineParser:
    """Takes bytes as they arrive and returns complete lines, without their ends; empty lines are left out.

    A line ends in LF or CRLF; a CR elsewhere is white space to JSON and stays.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in this data.

        Raises:
            ProtocolViolation: a line is longer than MAX_LINE_BYTES.
        """
        first, *lines = data.split(b"\n")
        self._append(first)
        if not lines:
            return []
        rest = lines.pop()
        lines.insert(0, self._pop_line())
        self._append(rest)
        return [stripped for line in lines if (stripped := line.strip())]

    def end(self) -> list[bytes]:
        """The last line, when the connection ended before the line did."""
        line = self._pop_line().strip()
        return [line] if line else []

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
