"""Tools whose schemas combine others at the top, which OpenAI and Anthropic refuse there."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot_model_gateway.formats.vendor_profile import VENDOR_PROFILES

from tests.support.chat_requests import encode
from tests.support.generate_requests import asks
from tests.support.wires import RPCS, WIRES, answer, replies_to, served

TEXT: Final = {"type": "string"}
REFUSED: Final = {"anyOf", "oneOf", "allOf", "not", "enum"}


def an_object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required]}


CARD: Final = an_object("kind", "number", kind={"const": "card"}, number=TEXT)
CASH: Final = an_object("kind", kind={"const": "cash"}, change={"type": "integer"})
EITHER_KIND: Final = {"anyOf": [CARD["properties"]["kind"], CASH["properties"]["kind"]]}
SCHEMAS: Final = {
    "one of two objects": (
        {"oneOf": [CARD, CASH]},
        {"kind": EITHER_KIND, "number": TEXT, "change": {"type": "integer"}},
        ["kind"],
    ),
    "any of two, defined elsewhere": (
        {
            "$defs": {"card": CARD, "cash": CASH},
            "anyOf": [{"$ref": "#/$defs/card"}, {"$ref": "#/$defs/cash"}],
        },
        {"kind": EITHER_KIND, "number": TEXT, "change": {"type": "integer"}},
        ["kind"],
    ),
    "both": ({"allOf": [an_object("a", a=TEXT), an_object("b", b=TEXT)]}, {"a": TEXT, "b": TEXT}, ["a", "b"]),
    "one of its own properties": (
        {**an_object("c", a=TEXT, b=TEXT, c=TEXT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"a": TEXT, "b": TEXT, "c": TEXT},
        ["c"],
    ),
    "not both": ({**an_object(a=TEXT), "not": {"required": ["b"]}}, {"a": TEXT}, []),
}
"""Schema, the properties that are sent, and which of them are required."""


def sent_schema(wire, body):
    (sent,) = body["tools"]
    return sent["input_schema" if wire == "anthropic" else "parameters"]


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("wire", ["anthropic", "responses"])
@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_combination_at_the_top_becomes_one_object(tmp_path, wire, rpc, name):
    schema, properties, required = SCHEMAS[name]
    pay = ToolSpec(name="pay", description="Pays.")
    pay.input_schema.update(schema)
    protocol = WIRES[wire]
    async with served(tmp_path, protocol) as (backend, client):
        backend.will(answer(protocol, rpc, protocol.text("Hi"), protocol.whole("Hi")))
        replied = await replies_to(client, asks(tools=[pay], strict=True), rpc)
        sent = sent_schema(wire, backend.last)
    assert not replied.warnings
    assert (sent["type"], sent["properties"], sent.get("required", [])) == ("object", properties, required)
    assert REFUSED.isdisjoint(sent)
    assert all(keyword in sent["description"] for keyword in REFUSED & schema.keys())


@pytest.mark.parametrize("vendor", ["openai", "azure"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_it_does_over_openais_chat_completions_too(vendor, name):
    schema, properties, required = SCHEMAS[name]
    pay = ToolSpec(name="pay", description="Pays.")
    pay.input_schema.update(schema)
    wire, warnings = encode(asks(tools=[pay], strict=True), VENDOR_PROFILES[vendor])
    sent = wire["tools"][0]["function"]["parameters"]
    assert not warnings
    assert (sent["type"], sent["properties"], sent.get("required", [])) == ("object", properties, required)
    assert REFUSED.isdisjoint(sent)


@pytest.mark.parametrize("vendor", ["openai", "groq"])
@pytest.mark.parametrize("top", ["anyOf", "title"])
def test_equal_schemas_are_sent_as_the_same_bytes_whatever_the_order_of_their_keys(vendor, top):
    sent = set()
    for names in ("abc", "cba"):
        pay = ToolSpec(name="pay")
        properties = dict.fromkeys(names, TEXT)
        pay.input_schema.update({top: [{"properties": properties}] if top == "anyOf" else "Pay"})
        pay.input_schema.update({"properties": properties})
        sent.add(json.dumps(encode(asks(tools=[pay]), VENDOR_PROFILES[vendor])[0]["tools"]))
    assert len(sent) == 1


MALFORMED: Final = [
    {"properties": 5, "anyOf": [CARD]},
    {"required": 5, "anyOf": [{"required": 3}]},
    {"oneOf": [{"properties": 3}, 7]},
    {"anyOf": [{"required": [{}, "a"]}], "description": 5},
    {"allOf": 3, "enum": 7},
    {"anyOf": [{"$ref": "#/$defs/nothing"}, {"$ref": 5}]},
]


@pytest.mark.parametrize("wire", ["anthropic", "responses"])
@pytest.mark.parametrize("schema", MALFORMED)
async def test_what_is_no_schema_is_left_to_the_vendor(tmp_path, wire, schema):
    pay = ToolSpec(name="pay")
    pay.input_schema.update(schema)
    protocol = WIRES[wire]
    async with served(tmp_path, protocol) as (backend, client):
        backend.will(answer(protocol, "generate", protocol.text("Hi"), protocol.whole("Hi")))
        await replies_to(client, asks(tools=[pay]), "generate")
        assert REFUSED.isdisjoint(sent_schema(wire, backend.last))


@pytest.mark.parametrize("wire", ["gemini", "ollama", "chat"])
async def test_vendors_that_take_a_combination_get_it(tmp_path, wire):
    pay = ToolSpec(name="pay")
    pay.input_schema.update({"type": "object", "properties": {}, "anyOf": [CARD, CASH]})
    protocol = WIRES[wire]
    async with served(tmp_path, protocol) as (backend, client):
        backend.will(answer(protocol, "generate", protocol.text("Hi"), protocol.whole("Hi")))
        await replies_to(client, asks(tools=[pay]), "generate")
        assert "anyOf" in str(backend.last["tools"])
