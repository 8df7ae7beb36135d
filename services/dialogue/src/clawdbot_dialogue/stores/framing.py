"""Packs several protobuf messages into one blob: each after its length in four bytes, big-endian."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

M = TypeVar("M", bound=Message)
_LENGTH: Final = Struct(">I")


def pack(messages: Iterable[Message]) -> bytes:
    """Packs messages into one blob."""
    chunks: list[bytes] = []
    for message in messages:
        data = message.SerializeToString()
        chunks += (_LENGTH.pack(len(data)), data)
    return b"".join(chunks)


def unpack(blob: bytes, kind: type[M]) -> tuple[M, ...]:
    """Unpacks the messages of a blob.

    Raises:
        DecodeError: the blob is truncated, or holds something else.
    """
    messages = []
    position = 0
    while position < len(blob):
        start = position + _LENGTH.size
        if start > len(blob):
            raise DecodeError("truncated")
        position = start + _LENGTH.unpack_from(blob, position)[0]
        if position > len(blob):
            raise DecodeError("truncated")
        messages.append(kind.FromString(blob[start:position]))
    return tuple(messages)
