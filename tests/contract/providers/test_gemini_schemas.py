"""JSON Schemas with keywords that Gemini ignores: it is not relied on for them, and nothing is silent."""

from __future__ import annotations

import json
from typing import Final

import pytest

from tests.support import fake_gemini
from tests.support.fake_openai import Answer, whole
from tests.support.generate_requests import asks
from tests.support.structured_output import schema_format
from tests.support.wires import RPCS, WIRES, replies_to, served

TEXT: Final = {"type": "string"}
PLACES: Final = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
BOUNDS: Final = {
    "pattern": {"type": "string", "pattern": "^x"},
    "maxLength": {"type": "string", "maxLength": 3},
    "multipleOf": {"type": "integer", "multipleOf": 2},
    "uniqueItems": {"type": "array", "items": TEXT, "uniqueItems": True},
}
CONDITIONS: Final = {
    "allOf": {"allOf": [PLACES, {"type": "object", "properties": {"b": TEXT}}]},
    "not": {"type": "object", "properties": {"a": {"not": {"type": "null"}}}},
    "if": {**PLACES, "if": {"required": ["c"]}, "then": {"required": ["d"]}},
    "patternProperties": {"type": "object", "patternProperties": {"^a": TEXT}},
    "in a definition": {"$defs": {"x": {"allOf": [PLACES]}}, "anyOf": [{"$ref": "#/$defs/x"}]},
    "in a list": {"type": "object", "properties": {"b": {"type": "array", "items": {"not": TEXT}}}},
    "in a map": {"type": "object", "additionalProperties": {"not": {"type": "null"}}},
}


def answer(rpc, chunk):
    return whole(chunk) if rpc == "generate" else Answer([fake_gemini.sse(chunk)])


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("keyword", BOUNDS)
async def test_a_bound_that_is_not_enforced_gives_a_warning(tmp_path, keyword, rpc):
    schema = {"type": "object", "properties": {"a": {"anyOf": [BOUNDS[keyword], {"type": "null"}]}}}
    async with served(tmp_path, WIRES["gemini"]) as (backend, client):
        backend.will(answer(rpc, fake_gemini.chunk({"text": "{}"}, finish="STOP")))
        replied = await replies_to(client, asks(response_format=schema_format(schema)), rpc)
    (warning,) = replied.warnings
    assert (warning.code, warning.field) == ("FIELD_NOT_SUPPORTED", "response_format.json_schema.schema")
    assert keyword in warning.message
    assert "responseJsonSchema" in backend.last["generationConfig"]


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("name", CONDITIONS)
async def test_a_condition_that_is_not_enforced_is_emulated(tmp_path, name, rpc):
    schema, value = CONDITIONS[name], {"a": "x"}
    # A schema of an object is a tool's.
    call, text = {"functionCall": {"name": "answer", "args": value}}, {"text": json.dumps(value)}
    async with served(tmp_path, WIRES["gemini"]) as (backend, client):
        backend.will(answer(rpc, fake_gemini.chunk(call if "type" in schema else text, finish="STOP")))
        replied = await replies_to(client, asks(response_format=schema_format(schema), strict=True), rpc)
    assert [each.code for each in replied.warnings] == ["FORM_EMULATED"]
    assert json.loads(replied.message.parts[0].text) == value
    assert "responseJsonSchema" not in backend.last.get("generationConfig", {})
