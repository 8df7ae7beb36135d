"""Closes JSON Schemas for vendors whose strict mode takes no others.

Source: OpenAI's page on structured outputs, "Supported schemas": each object is closed and requires all its
properties, and some keywords are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CONDITIONS: Final = frozenset(
    {
        *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties"),
        *("propertyNames", "unevaluatedProperties", "unevaluatedItems", "contains"),
    }
)
"""Keywords that no vendor enforces, and that say more than a bound."""
REFUSED: Final = CONDITIONS | {
    *("allOf", "oneOf", "minProperties", "maxProperties", "prefixItems", "minContains", "maxContains"),
    "uniqueItems",
}
"""Keywords that restrict, and that strict mode has not."""
ANNOTATIONS: Final = frozenset({"$schema", "$id", "$comment", "examples", "default"})
"""Keywords that restrict nothing, and that it refuses as well."""
SCHEMA_MAPS: Final = frozenset({"properties", "$defs", "definitions"})
"""Keywords that contain schemas by name."""
KINDS: Final = ("type", "anyOf", "enum", "const", "$ref")
"""Each schema has one of these."""


class _Refused(ValueError):
    """Strict mode refuses the schema, and no closing helps."""


def close_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema as strict mode takes it: what matches it matches the original. None if there is none."""
    try:
        return _close(schema) if schema.get("type") == "object" else None
    except _Refused:
        return None


def _close(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or not any(each in schema for each in KINDS):
        raise _Refused
    if not REFUSED.isdisjoint(schema):
        raise _Refused
    closed = {name: _close_in(name, value) for name, value in schema.items() if name not in ANNOTATIONS}
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "object" in kinds or "properties" in schema:
        _check_object(schema)
        closed["additionalProperties"] = False
    if "array" in kinds and "items" not in schema:
        raise _Refused
    return closed


def _close_in(keyword: str, value: Any) -> Any:
    if keyword in SCHEMA_MAPS and isinstance(value, Mapping):
        return {name: _close(each) for name, each in value.items()}
    if keyword == "anyOf" and isinstance(value, list):
        return [_close(each) for each in value]
    return _close(value) if keyword == "items" else value


def _check_object(schema: Mapping[str, Any]) -> None:
    """Refuses an object that may have other properties, or lack some."""
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    is_open = others not in (None, False) or not (properties or others is False)
    if is_open or set(properties) != set(schema.get("required") or ()):
        raise _Refused
