"""HTTP/2 by hand, for what no client library sends."""

from __future__ import annotations

import struct

HEADERS, RESET, SETTINGS, ACK, END_HEADERS = 1, 3, 4, 1, 4
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
