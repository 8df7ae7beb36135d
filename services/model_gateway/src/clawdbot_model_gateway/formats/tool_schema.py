"""The JSON Schema of a tool's arguments, with what vendors demand: `type` and `properties` at the top."""

from __future__ import annotations

from typing import Any, Final

import orjson
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot_servicekit.structs import to_json, to_plain

DEMANDED: Final[dict[str, Any]] = {"type": "object", "properties": {}}
"""All of it for a tool without arguments. OpenAI and Anthropic refuse a schema without one of them."""


def input_schema(tool: ToolSpec) -> dict[str, Any]:
    """The schema."""
    return {**DEMANDED, **to_plain(tool.input_schema)}


def input_schema_json(tool: ToolSpec) -> bytes:
    """The schema as JSON."""
    if all(name in tool.input_schema.fields for name in DEMANDED):
        return to_json(tool.input_schema)
    return orjson.dumps(input_schema(tool))
