"""A list of models may be null: the backend has none."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.errors import ProtocolViolation
from clawdbot_model_gateway.formats.anthropic.models import decode_page
from clawdbot_model_gateway.formats.chat.models import decode_models
from clawdbot_model_gateway.formats.ollama.models import decode_tags

DECODERS = {
    "data": lambda body: [*decode_models(body)],
    "data of Anthropic": lambda body: decode_page(body).models,
    "models": decode_tags,
}


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("value", ["null", "[]"])
def test_nothing_is_a_list_of_no_models(name, value):
    assert DECODERS[name](f'{{"{name.split()[0]}": {value}}}'.encode()) == []


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("body", [b"{}", b"null", b'{"data": 4, "models": 4}', b"<html>"])
def test_anything_else_is_no_list_of_models(name, body):
    with pytest.raises(ProtocolViolation):
        DECODERS[name](body)
