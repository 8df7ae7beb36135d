"""Encodes images and documents as blocks of the Messages API, which takes no audio."""

from __future__ import annotations

import base64
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import Document, Media

from clawdbot_model_gateway.formats.data_urls import inlined

JsonObject = dict[str, Any]

IMAGE_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF: Final = "application/pdf"
TEXT_TYPES: Final = ("text/", "application/json", "application/xml", "application/yaml")
"""Prefixes of the media types of documents that a model can read as text."""


def image_block(image: Media) -> JsonObject | None:
    """The block; None for a kind of image that the API does not take."""
    image = inlined(image)
    if image.WhichOneof("source") == "data":
        return _image(image.media_type, base64.b64encode(image.data).decode())
    return {"type": "image", "source": {"type": "url", "url": image.uri}} if _is_web(image.uri) else None


def document_block(document: Document) -> JsonObject | None:
    """The block; None for a kind of document that the API does not take."""
    source = _document_source(inlined(document))
    if source is None:
        return None
    title = {"title": document.title} if document.title else {}
    return {"type": "document", "source": source, **title}


def _image(media_type: str, data: str) -> JsonObject | None:
    if media_type not in IMAGE_TYPES:
        return None
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document_source(document: Document) -> JsonObject | None:
    if document.WhichOneof("source") == "uri":
        return {"type": "url", "url": document.uri} if _is_web(document.uri) else None
    if document.media_type == PDF:
        return {"type": "base64", "media_type": PDF, "data": base64.b64encode(document.data).decode()}
    if not document.media_type.startswith(TEXT_TYPES):
        return None
    try:
        return {"type": "text", "media_type": "text/plain", "data": document.data.decode()}
    except UnicodeDecodeError:
        return None


def _is_web(uri: str) -> bool:
    return uri.startswith(("https://", "http://"))
