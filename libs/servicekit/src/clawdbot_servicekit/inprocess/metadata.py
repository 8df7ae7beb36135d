"""Metadata as they arrive at the other end, and no others than gRPC would let through."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import grpc.aio

KEY: Final = re.compile(r"[0-9a-z_.-]+")
VALUE: Final = re.compile(r"[ -~]*")
"""What HTTP/2 headers may hold, by gRPC's protocol."""
BINARY: Final = "-bin"
"""The end of the names whose values are bytes."""


class Metadatum(NamedTuple):
    """One header or trailer."""

    key: str
    value: str | bytes


Metadata = tuple[Metadatum, ...]


def metadata_of(given: Any) -> Metadata:
    """Metadata in whichever form callers and servicers give them: a grpc.aio.Metadata, or pairs.

    Raises:
        TypeError: for names that are no text, and values that are neither text nor bytes as their name wants.
        grpc.aio.InternalError: for what no header may hold.
    """
    return tuple(_metadatum(key, value) for key, value in given) if given else ()


def _metadatum(key: Any, value: Any) -> Metadatum:
    if not isinstance(key, str):
        raise TypeError(f"Expected str, not {type(key)}")
    if not KEY.fullmatch(key):
        raise grpc.aio.InternalError(f"Illegal header key {key!r}")
    if key.endswith(BINARY):
        if not isinstance(value, bytes):
            raise TypeError(f"Binary metadata key={key!r} expected bytes, got {type(value)}")
        return Metadatum(key, value)
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise TypeError(f"Expected str, not {type(value)}")
    if not VALUE.fullmatch(text):
        raise grpc.aio.InternalError(f"Illegal header value for {key!r}")
    return Metadatum(key, text)
