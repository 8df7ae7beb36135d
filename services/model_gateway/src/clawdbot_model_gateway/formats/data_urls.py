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
KNOWN_AS: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
"""Media type → the name that vendors know it by."""


def inlined(medium: M) -> M:
    """The same medium as data, if it is a `data:` URL. Its type is written as vendors know it."""
    if medium.uri[:5].lower() != "data:":
        known = _known_type(medium.media_type)
        if known == medium.media_type:
            return medium
        medium = deepcopy(medium)  # the request must not change
        medium.media_type = known
        return medium
    head, comma, content = medium.uri[5:].partition(",")
    media_type, mark, _ = head.partition(";base64")
    try:
        data = base64.b64decode(content, validate=True) if mark else unquote_to_bytes(content)
    except (binascii.Error, ValueError):
        return medium
    if not comma:
        return medium
    inline = deepcopy(medium)
    inline.data = data
    inline.media_type = _known_type(medium.media_type or media_type.partition(";")[0] or DEFAULT_TYPE)
    return inline


def data_url(medium: Media | Document) -> str:
    """The URL with the medium's data."""
    return f"data:{medium.media_type};base64,{base64.b64encode(medium.data).decode()}"


def _known_type(media_type: str) -> str:
    """The type in lower case: it has none (RFC 2045, 5.1)."""
    lower = media_type.lower()
    return KNOWN_AS.get(lower, lower)
