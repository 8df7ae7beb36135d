"""What is stored, as bytes: until when it is served, then the events of a reply or the vector of a text."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from clawdbot.model_gateway.v1.model_gateway_service_pb2 import EmbedResponse
from google.protobuf.message import DecodeError

from clawdbot_model_gateway.core.events import Event, merge_deltas

_EXPIRY: Final = struct.Struct(">d")
_HEAD: Final = struct.Struct(">dI")
"""The time, and where the reply with joined deltas ends."""
_LENGTH: Final = struct.Struct(">I")


class CorruptReply(ValueError):
    """The bytes are not a stored reply."""


def encode(events: Sequence[Event], expires_at: float) -> bytes:
    """The reply as bytes; `expires_at` in seconds since the epoch.

    It is in there twice where it has deltas to join: reading thousands of deltas takes milliseconds, and a
    caller who wants the whole reply has no use for them.
    """
    whole = merge_deltas(events)
    pieces = _pieces(whole)
    head = _HEAD.pack(expires_at, _HEAD.size + sum(map(len, pieces)))
    if len(whole) < len(events):
        pieces += _pieces(events)
    return b"".join([head, *pieces])


def decode(reply: bytes, *, whole: bool = False) -> tuple[list[Event], float]:
    """The events, and the time until which they may be served.

    Args:
        reply: what `encode` returned.
        whole: with joined deltas.

    Raises:
        CorruptReply: not what `encode` returned.
    """
    events = []
    try:
        expires_at, middle = _HEAD.unpack_from(reply)
        place, end = (_HEAD.size, middle) if whole or middle == len(reply) else (middle, len(reply))
        if not _HEAD.size < end <= len(reply):
            raise CorruptReply("it is cut off")
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


def _pieces(events: Iterable[Event]) -> list[bytes]:
    pieces: list[bytes] = []
    for event in events:
        data = event.SerializeToString()
        pieces += _LENGTH.pack(len(data)), data
    return pieces
