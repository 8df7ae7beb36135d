"""What is stored, as bytes: until when it is served, then the events of a reply or the vector of a text."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedResponse
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


def encode_vector(vector: EmbedResponse, expires_at: float) -> bytes:
    """The vector of one text, with its model."""
    return _EXPIRY.pack(expires_at) + vector.SerializeToString()


def decode_vector(stored: bytes) -> tuple[EmbedResponse, float]:
    """The vector of one text, and the time until which it may be served.

    Raises:
        CorruptReply: not what `encode_vector` returned.
    """
    try:
        (expires_at,) = _EXPIRY.unpack_from(stored)
        vector = EmbedResponse.FromString(stored[_EXPIRY.size :])
    except (struct.error, DecodeError) as error:
        raise CorruptReply(str(error)) from None
    if len(vector.embeddings) != 1:
        raise CorruptReply("it is not one vector")
    return vector, expires_at
