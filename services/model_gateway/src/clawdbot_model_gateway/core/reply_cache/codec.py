"""A stored reply as bytes: the time until which it may be served, and its events as they came."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError

from clawdbot_model_gateway.core.events import Event

_EXPIRY: Final = struct.Struct(">d")
_LENGTH: Final = struct.Struct(">I")


class CorruptReply(ValueError):
    """The bytes are not a stored reply."""


def encode(events: Iterable[Event], expires_at: float) -> bytes:
    """The reply as bytes; `expires_at` in seconds since the epoch."""
    pieces = [_EXPIRY.pack(expires_at)]
    for event in events:
        data = event.SerializeToString()
        pieces += _LENGTH.pack(len(data)), data
    return b"".join(pieces)


def decode(reply: bytes) -> tuple[list[Event], float]:
    """The events, and the time until which they may be served.

    Raises:
        CorruptReply: not what `encode` returned.
    """
    events = []
    place, end = _EXPIRY.size, len(reply)
    try:
        (expires_at,) = _EXPIRY.unpack_from(reply)
        while place < end:
            (length,) = _LENGTH.unpack_from(reply, place)
            place += _LENGTH.size
            if place + length > end:
                raise CorruptReply("it is cut off")
            events.append(Event.FromString(reply[place : place + length]))
            place += length
    except (struct.error, DecodeError) as error:
        raise CorruptReply(str(error)) from None
    if not events or not events[-1].HasField("finished"):
        raise CorruptReply("it does not end with its end")
    return events, expires_at
