"""Pictures and documents as blocks of the Messages API; sounds it does not take."""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import Document, Media

Wire = dict[str, Any]

IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF: Final = "application/pdf"
WRITTEN: Final = ("text/", "application/json", "application/xml", "application/yaml")
"""How the media types of documents begin that a model can read as they are."""

_DATA_URL: Final = re.compile(r"data:([\w.+/-]+);base64,([A-Za-z0-9+/=]+)")


def image_block(image: Media) -> Wire | None:
    """The block; None for a kind of picture that the API does not take."""
    if image.WhichOneof("source") == "data":
        return _image(image.media_type, base64.b64encode(image.data).decode())
    inline = _DATA_URL.fullmatch(image.uri)
    if inline:
        return _image(inline[1], inline[2])
    return {"type": "image", "source": {"type": "url", "url": image.uri}} if _web(image.uri) else None


def document_block(document: Document) -> Wire | None:
    """The block; None for a kind of document that the API does not take."""
    source = _document(document)
    if source is None:
        return None
    titled = {"title": document.title} if document.title else {}
    return {"type": "document", "source": source, **titled}


def _image(media_type: str, data: str) -> Wire | None:
    if media_type not in IMAGES:
        return None
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document(document: Document) -> Wire | None:
    if document.WhichOneof("source") == "uri":
        return {"type": "url", "url": document.uri} if _web(document.uri) else None
    if document.media_type == PDF:
        return {"type": "base64", "media_type": PDF, "data": base64.b64encode(document.data).decode()}
    if not document.media_type.startswith(WRITTEN):
        return None
    try:
        return {"type": "text", "media_type": "text/plain", "data": document.data.decode()}
    except UnicodeDecodeError:
        return None


def _web(uri: str) -> bool:
    return uri.startswith(("https://", "http://"))
