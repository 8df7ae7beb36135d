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
_REASON: Final = re.compile(
    rb'"finish_?reason"\s*:\s*"[^"]|"response\.(completed|incomplete|failed)"', re.IGNORECASE
)
"""What the last record of a stream contains, but for usage."""


def may_be_whole(body: bytes | bytearray) -> bool:
    """Whether it ends like a whole body; quick."""
    return body[-16:].rstrip().endswith((b"}", b"]"))


def has_end_marker(body: bytes | bytearray) -> bool:
    """Whether it is a stream whose last record has arrived."""
    return body[-16:].rstrip().endswith(END_MARKER) and not body[:16].lstrip().startswith(JSON_BEGINS)


def is_whole(body: bytes | bytearray) -> bool:
    """Whether it is a JSON document, or a stream with its last record."""
    if has_end_marker(body) or _ends_with_a_reason(body):
        return True
    return _is_json(body) and _PIECE.search(body) is None


def _ends_with_a_reason(body: bytes | bytearray) -> bool:
    """Whether it is a stream of events, the last one whole, with a finish reason after all content.

    One in the first event may be that of a server that sends one with every piece, unless there is a message.
    """
    if body[:16].lstrip().startswith(JSON_BEGINS) or not _is_json(body.rpartition(b"data:")[2]):
        return False
    reasons = [*_REASON.finditer(body)]
    before = body[: reasons[0].start()] if reasons else b""
    return len(reasons) == 1 and (before.count(b"data:") > 1 or b'"message"' in before)


def _is_json(body: bytes | bytearray) -> bool:
    try:
        json.loads(body.decode(json.detect_encoding(body), "replace"))
    except ValueError:
        return False
    return True
