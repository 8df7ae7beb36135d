"""HTTP/2 by hand, for what no client library sends."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

DATA, HEADERS, RESET, SETTINGS, GO_AWAY = 0, 1, 3, 4, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4
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


def frames(client: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """The frames that the server sends (kind, flags, stream and payload) until it closes the connection."""
    with client.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            payload = stream.read(int.from_bytes(head[:3]))
            yield head[3], head[4], int.from_bytes(head[5:]), payload


def answered(client: socket.socket, stream: int) -> None:
    """Returns when the server has ended the stream or the connection; raises TimeoutError if it does not."""
    with suppress(ConnectionError):
        for kind, flags, number, _ in frames(client):
            last = kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM)
            if kind == GO_AWAY or (number == stream and last):
                return
