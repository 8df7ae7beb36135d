"""Adapts JSON Schemas to Gemini, which ignores keywords that it does not know; the meaning must not change.

Source: Gemini API, "Structured output", on the keywords of responseJsonSchema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = Any

ANNOTATIONS: Final = frozenset({"$schema", "$comment", "examples"})
"""Keywords that restrict nothing."""


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
    **dict.fromkeys(("properties", "$defs", "definitions", "patternProperties"), _adapt_map),
    **dict.fromkeys(("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties"), _adapt_list),
}
"""Keyword → how to adapt the schemas in it. The names of properties are not keywords."""
