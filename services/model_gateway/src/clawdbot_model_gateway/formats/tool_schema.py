"""The JSON Schema of a tool's arguments, with what vendors demand: `type` and `properties` at the top."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot_servicekit.structs import canonical_json, to_json, to_plain

from clawdbot_model_gateway.formats.vendor_json import as_object, as_string

DEMANDED: Final[dict[str, Any]] = {"type": "object", "properties": {}}
"""All of it for a tool without arguments. OpenAI and Anthropic refuse a schema without one of them."""
ALTERNATIVES: Final = ("anyOf", "oneOf")
REFUSED_AT_TOP: Final = (*ALTERNATIVES, "allOf", "not", "enum")
"""Keywords that OpenAI and Anthropic refuse there."""


def input_schema(tool: ToolSpec) -> dict[str, Any]:
    """The schema."""
    return {**DEMANDED, **to_plain(tool.input_schema)}


def input_schema_json(tool: ToolSpec) -> bytes:
    """The schema as JSON."""
    if all(name in tool.input_schema.fields for name in DEMANDED):
        return to_json(tool.input_schema)
    return canonical_json(input_schema(tool))


def flat_schema(tool: ToolSpec) -> dict[str, Any]:
    """The schema without the keywords that are refused at its top.

    What they combine becomes one object with all of their properties, and its description says the rest.
    """
    schema = input_schema(tool)
    refused: dict[str, Any] = {name: schema.pop(name) for name in REFUSED_AT_TOP if name in schema}
    if not refused:
        return schema
    schema["properties"] = as_object(schema["properties"])
    required = _names(schema.get("required"))
    for keyword in (*ALTERNATIVES, "allOf"):
        parts = [*_objects(refused.get(keyword), schema)]
        for part in parts:
            schema["properties"] = _merged(schema["properties"], as_object(part.get("properties")))
        demanded = [_names(part.get("required")) for part in parts]
        if demanded:
            required |= set.intersection(*demanded) if keyword in ALTERNATIVES else set.union(*demanded)
    if required:
        schema["required"] = sorted(required)
    said = filter(None, (as_string(schema.get("description")), canonical_json(refused).decode()))
    return {**schema, "description": "\n\n".join(said)}


def flat_schema_json(tool: ToolSpec) -> bytes:
    """The same as JSON."""
    if any(name in tool.input_schema.fields for name in REFUSED_AT_TOP):
        return canonical_json(flat_schema(tool))
    return input_schema_json(tool)


def resolve(reference: Any, root: Any) -> Any:
    """What a reference to a place in a schema (RFC 6901) means; None if there is none."""
    place = root if str(reference).startswith("#") else None
    for step in str(reference).split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        place = place.get(name) if isinstance(place, Mapping) else None
    return place


def _objects(schemas: Any, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schemas of a list, references followed."""
    for each in schemas if isinstance(schemas, list) else ():
        found = resolve(each["$ref"], root) if isinstance(each, Mapping) and "$ref" in each else each
        if isinstance(found, Mapping):
            yield found


def _names(value: Any) -> set[str]:
    """The names in a list of them."""
    return {each for each in value if isinstance(each, str)} if isinstance(value, list) else set()


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of both; one that differs may be either."""
    differing = {name: {"anyOf": [ours[name], theirs[name]]} for name in theirs if name in ours}
    same = {name: ours[name] for name in differing if ours[name] == theirs[name]}
    return {**ours, **theirs, **differing, **same}
