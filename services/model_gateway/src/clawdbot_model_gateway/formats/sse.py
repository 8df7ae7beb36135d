"""Server-sent events from bytes (WHATWG HTML, 9.2.6), however the network has cut them.

Lines may end in CR, LF or CRLF. Nothing is decoded before a line is whole, so that a cut through a character
does no harm. `id` and `retry` mean nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clawdbot_model_gateway.core.errors import ProtocolViolation

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of one event. What never ends must not fill the memory."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event."""

    data: bytes
    """The data lines, joined by LF."""
    name: bytes = b""
    """Of its `event` line; empty where it had none."""


class EventParser:
    """Takes pieces and gives the events that are whole."""

    def __init__(self) -> None:
        self._begin = True
        self._after_return = False
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._size = 0

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that end in this piece.

        Raises:
            ProtocolViolation: an event is larger than LARGEST.
        """
        piece = self._normalised(piece)
        if b"\n" not in piece:
            self._keep(piece)
            return []
        first, *lines = piece.split(b"\n")
        self._line.append(first)
        lines.insert(0, b"".join(self._line))
        rest = lines.pop()
        self._line.clear()
        found: list[ServerEvent] = []
        for line in lines:
            if not line:
                self._dispatch(found)
            else:
                self._take(line)
        self._size = sum(map(len, self._data))
        self._keep(rest)
        return found

    def end(self) -> list[ServerEvent]:
        """The event that lacks only its end, since the connection ended instead."""
        line = b"".join(self._line)
        self._line.clear()
        if line:
            self._take(line)
        found: list[ServerEvent] = []
        self._dispatch(found)
        return found

    def _normalised(self, piece: bytes) -> bytes:
        """With LF for every line end. The LF of a CRLF may come in the next piece; its line does not wait."""
        if self._after_return and piece:
            self._after_return = False
            if piece.startswith(b"\n"):
                piece = piece[1:]
        if b"\r" in piece:
            self._after_return = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return piece

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._size += len(piece)
        if self._size > LARGEST:
            raise ProtocolViolation(f"an event of more than {LARGEST} bytes")

    def _take(self, line: bytes) -> None:
        if self._begin:
            self._begin = False
            line = line.removeprefix(BYTE_ORDER_MARK)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            self._data.append(b"")
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ")

    def _dispatch(self, found: list[ServerEvent]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            found.append(ServerEvent(data, self._name))
            self._data.clear()
        self._name = b""
