"""Lines of JSON from bytes (newline-delimited JSON), however the network has cut them.

Nothing is decoded before a line is whole, so that a cut through a character does no harm.
"""

from __future__ import annotations

from typing import Final

from clawdbot_model_gateway.core.errors import ProtocolViolation

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of one line. What never ends must not fill the memory."""


class LineParser:
    """Takes pieces and gives the lines that are whole, without their ends; empty ones are left out.

    A line ends in LF or CRLF; a CR elsewhere is white space to JSON and stays.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end in this piece.

        Raises:
            ProtocolViolation: a line is longer than LARGEST.
        """
        first, *lines = piece.split(b"\n")
        self._keep(first)
        if not lines:
            return []
        rest = lines.pop()
        lines.insert(0, self._taken())
        self._keep(rest)
        return [line for each in lines if (line := each.strip())]

    def end(self) -> list[bytes]:
        """The line that lacks only its end, since the connection ended instead."""
        line = self._taken().strip()
        return [line] if line else []

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._size += len(piece)
        if self._size > LARGEST:
            raise ProtocolViolation(f"a line of more than {LARGEST} bytes")

    def _taken(self) -> bytes:
        line = b"".join(self._line)
        self._line.clear()
        self._size = 0
        return line
