"""What the Messages API refuses is not sent to it: results of tools that failed, kinds of media, schemas."""

from __future__ import annotations

import json
from typing import Final

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Media, Message, Part, ToolResult

from tests.support.fake_anthropic import KEY, listed, reply, sse
from tests.support.fake_openai import Answer
from tests.support.gateway_service import gateway
from tests.support.generate_requests import asks, calling, says
from tests.support.structured_output import schema_format
from tests.support.wires import RPCS, WIRES, replies_to, served

ANTHROPIC: Final = WIRES["anthropic"]
PNG: Final = Part(image=Media(data=b"png", media_type="image/png"))
TEXT: Final = {"type": "string"}
PLACES: Final = {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}


def refers_to(place):
    return {"$ref": f"#/$defs/{place}"}


TREE: Final = {"$defs": {"tree": {"type": "array", "items": refers_to("tree")}}, **refers_to("tree")}
ENFORCED: Final = {
    "named properties": (PLACES, {"name": "x"}),
    "a closed object": ({"type": "object", "additionalProperties": False}, {}),
    "a definition that is used twice": (
        {
            "$defs": {"text": TEXT, "both": {"type": "array", "items": refers_to("text")}},
            "type": "object",
            "properties": {"a": refers_to("text"), "b": refers_to("both")},
        },
        {"a": "x", "b": ["y"]},
    ),
    "a list": ({"type": "array", "items": TEXT}, ["x"]),
    "one of two": ({"anyOf": [PLACES, {"type": "null"}]}, None),
    "words": ({"enum": ["x", "y"]}, "x"),
}
"""Schema, and a reply that matches it."""
EMULATED: Final = {
    "any object": ({"type": "object"}, {"a": 1}),
    "an object or nothing": ({"type": ["object", "null"]}, {"a": 1}),
    "a map": ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}),
    "a map in an object": (
        {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": TEXT}}},
        {"m": {"a": "x"}},
    ),
    "a map in a list": ({"type": "array", "items": {"type": "object"}}, [{"a": 1}]),
    "a map in a definition": (
        {"$defs": {"m": {"type": "object", "additionalProperties": True}}, "anyOf": [refers_to("m")]},
        {"a": 1},
    ),
    "names by a pattern": (
        {"type": "object", "properties": {"a": TEXT}, "patternProperties": {"^x": TEXT}},
        {"xy": "z"},
    ),
    "a property that is only required": (
        {"type": "object", "properties": {"a": TEXT}, "required": ["a", "b"]},
        {"a": "x", "b": 1},
    ),
    "two objects at once": (
        {"allOf": [PLACES, {"type": "object", "properties": {"b": TEXT}, "required": ["b"]}]},
        {"name": "x", "b": "y"},
    ),
    "itself": ({"type": "object", "properties": {"n": {"$ref": "#"}}}, {"n": {}}),
    "a definition of itself": (TREE, [[], [[]]]),
    "two definitions of each other": (
        {
            "$defs": {
                "a": {"type": "array", "items": refers_to("b")},
                "b": {"type": "array", "items": refers_to("a")},
            },
            **refers_to("a"),
        },
        [[[]]],
    ),
    "values that are no text": ({"enum": [{"a": 1}, [2]]}, [2]),
    "anything": ({"type": "object", "properties": {"a": True}}, {"a": None}),
}


@pytest.fixture
async def served_model(tmp_path):
    async with served(tmp_path, ANTHROPIC, api_key=KEY) as running:
        yield running


def says_json(value):
    return Answer([sse(*reply(json.dumps(value)))])


async def warnings_and_text(client, request, rpc):
    answered = await replies_to(client, request, rpc)
    return [each.code for each in answered.warnings], json.loads(answered.message.parts[0].text)


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("name", ENFORCED)
async def test_the_vendor_enforces_a_schema_of_named_properties(served_model, name, rpc):
    backend, client = served_model
    schema, value = ENFORCED[name]
    backend.will(says_json(value))
    request = asks(response_format=schema_format(schema), strict=True)
    assert await warnings_and_text(client, request, rpc) == ([], value)
    assert backend.last["output_config"]["format"]["type"] == "json_schema"


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("name", EMULATED)
async def test_a_schema_that_the_vendor_would_change_or_refuse_is_emulated(served_model, name, rpc):
    backend, client = served_model
    schema, value = EMULATED[name]
    backend.will(says_json(value))
    request = asks(response_format=schema_format(schema), strict=True)
    assert await warnings_and_text(client, request, rpc) == (["FORM_EMULATED"], value)
    assert "output_config" not in backend.last


async def test_a_model_without_schemas_has_them_emulated(tmp_path):
    old = listed()
    old["capabilities"]["structured_outputs"] = {"supported": False}
    async with ANTHROPIC.serve() as backend:
        backend.models = [old]
        async with gateway(tmp_path, model=ANTHROPIC.settings(backend, api_key=KEY)) as running:
            client = running.client
            backend.will(says_json({"name": "x"}))
            request = asks(response_format=schema_format(PLACES))
            assert await warnings_and_text(client, request, "generate") == (["FORM_EMULATED"], {"name": "x"})
    assert "output_config" not in backend.last


async def test_many_references_to_one_place_take_no_time(served_model):
    backend, client = served_model
    nested = {f"d{n}": {"anyOf": [refers_to(f"d{n + 1}")] * 2} for n in range(200)}
    schema = {"$defs": {**nested, "d200": TEXT}, **refers_to("d0")}
    backend.will(says_json("x"))
    request = asks(response_format=schema_format(schema))
    assert await warnings_and_text(client, request, "generate") == ([], "x")


@pytest.mark.parametrize("media_type", ["image/jpg", "IMAGE/JPEG", "image/pjpeg"])
async def test_an_image_has_the_name_that_the_vendor_knows(served_model, media_type):
    backend, client = served_model
    image = Part(image=Media(data=b"jpg", media_type=media_type))
    answered = await replies_to(client, asks(Message(role=ROLE_USER, parts=[image])), "generate")
    assert not answered.warnings
    assert backend.last["messages"][0]["content"][0]["source"]["media_type"] == "image/jpeg"


@pytest.mark.parametrize("said", [[], [Part(text="No table.")]])
async def test_media_of_a_tool_that_failed_follow_its_result(served_model, said):
    backend, client = served_model
    results = [
        Part(tool_result=ToolResult(call_id="c1", content=[PNG, *said], is_error=True)),
        Part(tool_result=ToolResult(call_id="c2", content=[Part(text="noon"), PNG])),
    ]
    request = asks(
        "Hi", calling("c1", "c2"), Message(role=ROLE_TOOL, parts=results), says("Well?"), strict=True
    )
    await replies_to(client, request, "generate")
    failed, fine, image, text = backend.last["messages"][-1]["content"]
    assert failed["is_error"]
    words = said[0].text if said else "The tool failed and said nothing."
    assert failed["content"] == [{"type": "text", "text": words}]
    assert [each["type"] for each in fine["content"]] == ["text", "image"]
    assert (image["type"], text["text"]) == ("image", "Well?")
