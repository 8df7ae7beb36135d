"""Several messages in one blob: each behind its length in four bytes, big-endian."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

M = TypeVar("M", bound=Message)
_LENGTH: Final = Struct(">I")


def pack(messages: Iterable[Message]) -> bytes:
    """The messages as one blob."""
    pieces: list[bytes] = []
    for message in messages:
        data = message.SerializeToString()
        pieces += (_LENGTH.pack(len(data)), data)
    return b"".join(pieces)


def unpack(blob: bytes, kind: type[M]) -> tuple[M, ...]:
    """The messages of a blob.

    Raises:
        DecodeError: it is not one.
    """
    messages = []
    position = 0
    while position < len(blob):
        start = position + _LENGTH.size
        if start > len(blob):
            raise DecodeError("cut short")
        position = start + _LENGTH.unpack_from(blob, position)[0]
        if position > len(blob):
            raise DecodeError("cut short")
        messages.append(kind.FromString(blob[start:position]))
    return tuple(messages)
