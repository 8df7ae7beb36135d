"""Normalises metadata to what the other end would receive, and refuses what gRPC would refuse."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import grpc.aio

KEY: Final = re.compile(r"[0-9a-z_.-]+")
VALUE: Final = re.compile(r"[ -~]*")
"""What gRPC's protocol allows in HTTP/2 headers."""
BINARY_SUFFIX: Final = "-bin"
"""The suffix of keys whose values are bytes."""


class Metadatum(NamedTuple):
    """One header or trailer."""

    key: str
    value: str | bytes


Metadata = tuple[Metadatum, ...]


def to_metadata(pairs: Any) -> Metadata:
    """Metadata from any form that callers and servicers use: a grpc.aio.Metadata, or pairs.

    Raises:
        TypeError: for a key that is not text, or a value of the wrong type for its key.
        grpc.aio.InternalError: for a key or a value that a header must not contain.
    """
    return tuple(_metadatum(key, value) for key, value in pairs) if pairs else ()


def _metadatum(key: Any, value: Any) -> Metadatum:
    if not isinstance(key, str):
        raise TypeError(f"Expected str, not {type(key)}")
    if not KEY.fullmatch(key):
        raise grpc.aio.InternalError(f"Illegal header key {key!r}")
    if key.endswith(BINARY_SUFFIX):
        if not isinstance(value, bytes):
            raise TypeError(f"Binary metadata key={key!r} expected bytes, got {type(value)}")
        return Metadatum(key, value)
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise TypeError(f"Expected str, not {type(value)}")
    if not VALUE.fullmatch(text):
        raise grpc.aio.InternalError(f"Illegal header value for {key!r}")
    return Metadatum(key, text)
