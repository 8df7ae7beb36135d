"""Adapts JSON Schemas to Gemini, which ignores keywords that it does not know; the meaning must not change.

Source: Gemini API, "Structured output", on the keywords of responseJsonSchema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from clawdbot_model_gateway.formats.strict_schema import CONDITIONS

Schema = Any

ANNOTATIONS: Final = frozenset({"$schema", "$comment", "examples"})
"""Keywords that restrict nothing."""
SCHEMA_MAPS: Final = ("properties", "$defs", "definitions", "patternProperties")
"""Keywords that contain schemas by name."""
SCHEMAS: Final = ("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties")
"""Keywords that contain a schema, or a list of them."""
IGNORED_BOUNDS: Final = frozenset(
    {
        *("pattern", "minLength", "maxLength", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"),
        *("uniqueItems", "minProperties", "maxProperties"),
    }
)
"""Bounds that Gemini does not know."""
IGNORED_CONDITIONS: Final = CONDITIONS | {"allOf"}
"""What it does not know, and what says more than a bound."""


def keywords_in(schema: Schema) -> set[str]:
    """The keywords of a schema, or of a list of them, and of all schemas in it."""
    if isinstance(schema, list):
        return set().union(*map(keywords_in, schema))
    if not isinstance(schema, Mapping):
        return set()
    found = set(schema)
    for keyword, value in schema.items():
        if keyword in SCHEMA_MAPS and isinstance(value, Mapping):
            found |= keywords_in([*value.values()])
        elif keyword in SCHEMAS:
            found |= keywords_in(value)
    return found


def adapt_schema(schema: Schema) -> Schema:
    """The schema with each `const` as an `enum` of one value, since Gemini does not know `const`."""
    if not isinstance(schema, Mapping):
        return schema
    adapted = {
        keyword: _ADAPTERS[keyword](value) if keyword in _ADAPTERS else value
        for keyword, value in schema.items()
        if keyword not in ANNOTATIONS and keyword != "const"
    }
    if "const" in schema:
        adapted["enum"] = [schema["const"]]
    return adapted


def _adapt_map(schemas: Any) -> Any:
    if not isinstance(schemas, Mapping):
        return schemas
    return {name: adapt_schema(schema) for name, schema in schemas.items()}


def _adapt_list(schemas: Any) -> Any:
    return (
        [adapt_schema(schema) for schema in schemas] if isinstance(schemas, list) else adapt_schema(schemas)
    )


_ADAPTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(SCHEMA_MAPS, _adapt_map),
    **dict.fromkeys(SCHEMAS, _adapt_list),
}
"""Keyword → how to adapt the schemas in it. The names of properties are not keywords."""
