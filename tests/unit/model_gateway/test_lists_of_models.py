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
@pytest.mark.parametrize("body", [b"{}", b"null", b'{"data": 4, "models": 4}', b"<html>", b'"m"'])
def test_anything_else_is_no_list_of_models(name, body):
    with pytest.raises(ProtocolViolation):
        DECODERS[name](body)


@pytest.mark.parametrize(
    "envelope", ["%s", '{"data": %s}', '{"models": %s}', '{"object": "list", "data": %s}']
)
@pytest.mark.parametrize(
    "listed",
    ['["m1", "m2"]', '[{"id": "m1"}, {"id": "m2"}]', '[{"name": "m1"}, {"model": "m2"}, {"owner": "x"}, 7]'],
)
def test_a_list_of_models_may_have_any_form(envelope, listed):
    assert [each.name for each in decode_models((envelope % listed).encode())] == ["m1", "m2"]


@pytest.mark.parametrize("written", ["131072", '"131072"', "131072.0"])
def test_the_length_of_the_context_may_be_written_in_any_way(written):
    (model,) = decode_models(f'[{{"id": "m", "context_length": {written}}}]'.encode())
    assert model.context_length == 131072
