"""Media in `data:` URLs are sent as data."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import Document, Media
from clawdbot_model_gateway.formats.data_urls import inlined


@pytest.mark.parametrize(
    ("uri", "media_type", "data"),
    [
        ("data:image/png;base64,aGk=", "image/png", b"hi"),
        ("DATA:image/png;base64,aGk=", "image/png", b"hi"),
        ("data:text/plain;charset=utf-8;base64,aGk=", "text/plain", b"hi"),
        ("data:text/csv,a%2Cb", "text/csv", b"a,b"),
        ("data:,hi", "text/plain", b"hi"),
    ],
)
def test_a_data_url_becomes_data(uri, media_type, data):
    document = Document(uri=uri, title="T")
    assert inlined(document) == Document(data=data, media_type=media_type, title="T")
    assert document.uri == uri


@pytest.mark.parametrize(
    "uri", ["https://example.com/a.png", "data:image/png;base64,!", "data:image/png", ""]
)
def test_anything_else_stays_as_it_is(uri):
    assert inlined(Media(uri=uri)) == Media(uri=uri)
