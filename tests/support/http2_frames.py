"""HTTP/2 by hand, for what no client library sends."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

import grpc
import hpack
from google.rpc import error_details_pb2, status_pb2

from tests.support.conditions import PATIENCE

DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ACK, END_STREAM, END_HEADERS = 1, 1, 4
CODES = {each.value[0]: each.name for each in grpc.StatusCode}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    """A header that HPACK neither compresses nor remembers."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def call_headers(method: bytes, **more: bytes) -> bytes:
    """The headers that begin a call of "/package.Service/Method"."""
    pairs = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": method,
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        **{name.replace("_", "-").encode(): value for name, value in more.items()},
    }
    return b"".join(header(name, value) for name, value in pairs.items())


def message(data: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message in its frame."""
    return bytes((compressed,)) + struct.pack(">I", len(data)) + data


class Http2Client:
    """A connection on which anything can be sent."""

    def __init__(
        self, port: int, greeting: bytes = PREFACE + frame(SETTINGS), timeout: float = PATIENCE
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._received = self._socket.makefile("rb")
        self._decoder = hpack.Decoder()
        self.send(greeting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._received.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """What the server does not take any longer is lost."""
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def done_sending(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """What the server sends (kind, flags, stream and payload) until it closes the connection."""
        with suppress(ConnectionError):
            while len(head := self._received.read(9)) == 9:
                payload = self._received.read(int.from_bytes(head[:3]))
                yield head[3], head[4], int.from_bytes(head[5:]), payload

    def acknowledge_settings(self) -> None:
        """Only then do the limits in the server's settings hold."""
        next(each for each in self.frames() if each[0] == SETTINGS)
        self.send(frame(SETTINGS, ACK))

    def outcome(self, stream: int = 1) -> str:
        """How the server ends the stream; raises TimeoutError if it does not.

        Returns:
            The reason of the status or else its code; "HTTP 431"; "reset"; "closed" for the whole connection.
        """
        found = ""
        for kind, flags, number, payload in self.frames():
            if kind == GO_AWAY:
                break
            if kind == HEADERS:
                said = _reason(dict(self._decoder.decode(payload, raw=True)))
                found = found or (said if number == stream else "")
            if number == stream and (kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM)):
                return found or "reset"
        return found or "closed"


def _reason(headers: dict[bytes, bytes]) -> str:
    """What the headers say about the end; nothing if they say that messages follow."""
    if headers.get(b":status", b"200") != b"200":
        return f"HTTP {headers[b':status'].decode()}"
    if (details := headers.get(b"grpc-status-details-bin")) is not None:
        status = status_pb2.Status.FromString(base64.b64decode(details + b"=" * (-len(details) % 4)))
        info = error_details_pb2.ErrorInfo()
        if any(each.Unpack(info) for each in status.details):
            return info.reason
    code = headers.get(b"grpc-status")
    return "" if code is None else CODES[int(code)]
