"""JSON Schema as Gemini takes it: what it does not know it passes over, which must not change the meaning.

Source: Gemini API, "Structured output", on the keywords of responseJsonSchema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = Any

UNSAID: Final = frozenset({"$schema", "$comment", "examples"})
"""Keywords that say nothing of the value."""


def for_gemini(schema: Schema) -> Schema:
    """The schema with a constant as the only one of an enumeration, since `const` is not known there."""
    if not isinstance(schema, Mapping):
        return schema
    adapted = {
        key: _INNER[key](each) if key in _INNER else each
        for key, each in schema.items()
        if key not in UNSAID and key != "const"
    }
    if "const" in schema:
        adapted["enum"] = [schema["const"]]
    return adapted


def _each_value(schemas: Any) -> Any:
    if not isinstance(schemas, Mapping):
        return schemas
    return {name: for_gemini(each) for name, each in schemas.items()}


def _each_item(schemas: Any) -> Any:
    return [for_gemini(each) for each in schemas] if isinstance(schemas, list) else for_gemini(schemas)


_INNER: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("properties", "$defs", "definitions", "patternProperties"), _each_value),
    **dict.fromkeys(("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties"), _each_item),
}
"""Keyword → what to do with the schemas in it. The names of properties are no keywords."""
