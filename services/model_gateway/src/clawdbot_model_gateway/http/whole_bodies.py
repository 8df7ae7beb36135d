"""Tells whether all of a body has arrived, by what it ends with: some servers leave the connection open."""

from __future__ import annotations

import json
import re
from typing import Final

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
JSON_BEGINS: Final = (b"{", b"[")
"""First characters of a JSON document; no event stream begins with them."""
END_MARKER: Final = b"[DONE]"
_PIECE: Final = re.compile(rb'"delta"\s*:|"done"\s*:\s*false')
"""What a line of a stream contains, after which others come."""


def may_be_whole(body: bytes | bytearray) -> bool:
    """Whether it ends like a whole body; quick."""
    return body[-16:].rstrip().endswith((b"}", b"]"))


def has_end_marker(body: bytes | bytearray) -> bool:
    """Whether it is a stream whose last record has arrived."""
    return body[-16:].rstrip().endswith(END_MARKER) and not body[:16].lstrip().startswith(JSON_BEGINS)


def is_whole(body: bytes | bytearray) -> bool:
    """Whether it is a JSON document, or a stream with its last record."""
    if has_end_marker(body):
        return True
    try:
        json.loads(body)
    except ValueError:
        return False
    return _PIECE.search(body) is None
