"""Asks for JSON over OpenAI's two APIs, Chat Completions and Responses, and servers that imitate them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final

import orjson
from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest, JsonSchemaFormat
from clawdbot_servicekit.structs import canonical_json, to_json, to_plain
from google.protobuf.struct_pb2 import Struct

from clawdbot_model_gateway.core.supported_fields import formats_of
from clawdbot_model_gateway.formats.chat.tool_names import wire_name
from clawdbot_model_gateway.formats.strict_schema import close_schema

ASK_FOR_JSON: Final = "Reply with JSON."
"""Added to the instructions where a request for JSON does not mention it."""
MAX_CACHED_SCHEMAS: Final = 64
"""Schemas that are remembered as strict mode takes them: each is asked about and then sent, and the same ones
come with every turn."""
MAX_CACHED_BYTES: Final = 64 * 1024
"""Of one of them."""


def native_formats(
    request: GenerateRequest, supported: AbstractSet[str], *, strict_schemas: bool
) -> frozenset[str]:
    """The response formats that the server has a field for; "tool" if a tool call can be required.

    Args:
        request: what is asked for.
        supported: paths of the fields that the server has.
        strict_schemas: whether it refuses a JSON Schema that is not one of strict mode.
    """
    formats = formats_of(supported)
    if strict_schemas and request.response_format.HasField("json_schema"):
        closed = _closed_json(request.response_format.json_schema.schema)
        return formats if closed is not None else formats - {"json_schema"}
    return formats


def encode_json_schema(json_schema: JsonSchemaFormat) -> dict[str, Any]:
    """The format's fields. Strict, since our contract promises JSON that matches the schema.

    The schema is closed wherever it can be: what is behind a proxy may refuse it otherwise.
    """
    closed = _closed_json(json_schema.schema)
    return {
        "name": wire_name(json_schema.name or "reply"),
        "schema": orjson.Fragment(to_json(json_schema.schema) if closed is None else closed),
        "strict": True,
    }


def _closed_json(schema: Struct) -> bytes | None:
    """The schema as strict mode takes it, as JSON; None if there is none."""
    serialized = schema.SerializeToString(deterministic=True)
    return (_close if len(serialized) <= MAX_CACHED_BYTES else _close.__wrapped__)(serialized)


@lru_cache(maxsize=MAX_CACHED_SCHEMAS)
def _close(serialized: bytes) -> bytes | None:
    closed = close_schema(to_plain(Struct.FromString(serialized)))
    return None if closed is None else canonical_json(closed)


def mentions_json(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the messages do: OpenAI and others refuse to be asked for JSON by the format alone."""
    return any("json" in str(message.get("content")).lower() for message in messages)
