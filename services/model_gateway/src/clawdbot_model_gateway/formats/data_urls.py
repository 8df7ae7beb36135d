"""Media in `data:` URLs (RFC 2397), which many vendors refuse where they take a URL."""

from __future__ import annotations

import base64
import binascii
from copy import deepcopy
from typing import Final, TypeVar
from urllib.parse import unquote_to_bytes

from clawdbot.common.v1.message_pb2 import Document, Media

M = TypeVar("M", bound="Media | Document")

DEFAULT_TYPE: Final = "text/plain"
"""The type of a URL that names none."""


def inlined(medium: M) -> M:
    """The same medium as data, if it is a `data:` URL; else the medium itself."""
    if medium.uri[:5].lower() != "data:":
        return medium
    head, comma, content = medium.uri[5:].partition(",")
    media_type, mark, _ = head.partition(";base64")
    try:
        data = base64.b64decode(content, validate=True) if mark else unquote_to_bytes(content)
    except (binascii.Error, ValueError):
        return medium
    if not comma:
        return medium
    inline = deepcopy(medium)  # the request must not change
    inline.data = data
    inline.media_type = medium.media_type or media_type.partition(";")[0] or DEFAULT_TYPE
    return inline
