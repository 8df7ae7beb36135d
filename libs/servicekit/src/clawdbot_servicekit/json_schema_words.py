"""Says in plain words which keyword of a JSON Schema a value misses, whichever library found it.

No sentence contains the value, a regular expression, or a library's own wording.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

MAX_LISTED: Final = 20
"""Values of an enum that are listed."""
MAX_TEXT_LENGTH: Final = 200
"""Characters of a schema's own text that are repeated."""

TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
FORMATS: Final = {
    "date": "a date such as 2026-05-01",
    "date-time": "a date and time such as 2026-05-01T19:30:00Z",
    "time": "a time such as 19:30:00Z",
    "duration": "a duration such as PT10M",
    "email": "an e-mail address such as ann@example.com",
    "ipv4": "an IPv4 address such as 192.0.2.7",
    "ipv6": "an IPv6 address such as 2001:db8::7",
    "regex": "a regular expression that takes linear time (RE2)",
    "uri": "a URI such as https://example.com/menu",
    "uuid": "a UUID such as 123e4567-e89b-12d3-a456-426614174000",
}
NO_MATCH: Final = "does not match the schema"

_WORDS: Final[Mapping[str, Callable[[Any], str]]] = {
    "type": lambda types: f"must be {_either(types)}",
    "enum": lambda values: f"must be {_one_of(values)}",
    "const": lambda value: f"must be {_shown(value)}",
    "minimum": lambda limit: f"must be at least {_shown(limit)}",
    "exclusiveMinimum": lambda limit: f"must be more than {_shown(limit)}",
    "maximum": lambda limit: f"must be at most {_shown(limit)}",
    "exclusiveMaximum": lambda limit: f"must be less than {_shown(limit)}",
    "multipleOf": lambda number: f"must be a multiple of {_shown(number)}",
    "minLength": lambda count: f"must have at least {_count(count, 'character')}",
    "maxLength": lambda count: f"must have at most {_count(count, 'character')}",
    "minItems": lambda count: f"must have at least {_count(count, 'entry')}",
    "maxItems": lambda count: f"must have at most {_count(count, 'entry')}",
    "minContains": lambda count: f"must have at least {_count(count, 'entry')} of the required kind",
    "maxContains": lambda count: f"must have at most {_count(count, 'entry')} of the required kind",
    "minProperties": lambda count: f"must have at least {_count(count, 'field')}",
    "maxProperties": lambda count: f"must have at most {_count(count, 'field')}",
    "uniqueItems": lambda _: "must not contain the same entry twice",
    "contains": lambda _: "must have an entry of the required kind",
    "format": lambda name: f"must be {FORMATS.get(name, 'text of another form')}",
    "required": lambda _: "lacks a required field",
    "dependentRequired": lambda _: "lacks a field that another one requires",
    "additionalProperties": lambda _: "has a field that does not exist",
    "unevaluatedProperties": lambda _: "has a field that does not exist",
    "propertyNames": lambda _: "has a field whose name is not allowed",
    "items": lambda _: "has more entries than are allowed",
    "additionalItems": lambda _: "has more entries than are allowed",
    "unevaluatedItems": lambda _: "has more entries than are allowed",
    "anyOf": lambda _: "matches none of the forms that are allowed",
    "oneOf": lambda _: "must match exactly one of the forms that are allowed",
    "not": lambda _: "has a form that is not allowed",
}
"""Keyword → words for what the schema has there."""


def keyword_words(keyword: str, expected: Any, schema: object) -> str:
    """What a value must be, without a full stop.

    Args:
        keyword: that the value misses.
        expected: what the schema has for it.
        schema: the one with the keyword; its examples and its description explain a pattern.
    """
    if keyword == "pattern":
        return f"does not have the required form{_explanation(schema)}"
    words = _WORDS.get(keyword)
    return words(expected) if words else NO_MATCH


def part_of_schema(schema: Any, path: Sequence[str | int]) -> Any:
    """What the schema has at a validator's path; None where there is nothing."""
    for part in path:
        if isinstance(schema, Mapping):
            schema = schema.get(str(part))
        elif isinstance(schema, list | tuple) and isinstance(part, int) and part < len(schema):
            schema = schema[part]
        else:
            return None
    return schema


def _explanation(schema: object) -> str:
    if isinstance(schema, Mapping):
        examples, description = schema.get("examples"), schema.get("description")
        if isinstance(examples, list | tuple) and examples and isinstance(examples[0], str):
            return f" (example: {_shorten(examples[0])})"
        if isinstance(description, str) and description:
            return f": {_shorten(description).rstrip('.')}"
    return ""


def _either(types: Any) -> str:
    names = [types] if isinstance(types, str) else list(types)
    return " or ".join(TYPES.get(name, str(name)) for name in names)


def _one_of(values: Any) -> str:
    shown = [_shown(value) for value in values[:MAX_LISTED]]
    return " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) + (
        " or another of the listed values" if len(values) > MAX_LISTED else ""
    )


def _count(count: Any, unit: str) -> str:
    plural = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    return f"{_shown(count)} {unit if count == 1 else plural}"


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…"
