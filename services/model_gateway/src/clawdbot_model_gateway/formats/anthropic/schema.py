"""Adapts JSON Schemas to structured outputs: closes objects, and moves what is not enforced to descriptions.

Source: Anthropic's page on structured outputs, "JSON Schema limitations", and what its own client does.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import orjson

from clawdbot_model_gateway.formats.strict_schema import CONDITIONS, SCHEMA_MAPS
from clawdbot_model_gateway.formats.tool_schema import resolve

STRING_FORMATS: Final = frozenset(
    {
        *("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
    }
)
COPIED_KEYWORDS: Final = frozenset(
    {"type", "description", "title", "default", "enum", "const", "$ref", "required"}
)
"""Keywords that are sent unchanged."""
SCHEMA_LISTS: Final = frozenset({"anyOf", "allOf"})
UNIONS: Final = SCHEMA_LISTS | {"oneOf"}
"""Keywords that contain lists of schemas."""
ANNOTATIONS: Final = frozenset({"$schema", "$id", "$comment", "examples"})
"""Keywords that restrict nothing."""


def adapt_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The schema to send, and the keywords that the vendor does not enforce.

    The model reads those in the description of what they restrict.
    """
    unenforced: list[str] = []
    return _adapt(schema, unenforced), sorted(set(unenforced))


def is_enforced(schema: Mapping[str, Any]) -> bool:
    """Whether the vendor can hold a reply to the schema: it closes objects, and follows no recursion.

    Closed, an object whose properties the schema does not name could only be empty.
    """
    return all(map(_is_plain, _schemas_in(schema))) and not _is_recursive(schema)


def _is_plain(schema: Any) -> bool:
    """Whether the schema itself loses nothing, and does not contradict itself, when objects are closed."""
    if not isinstance(schema, Mapping):
        return False
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    required, allowed, members = (schema.get(each, []) for each in ("required", "enum", "allOf"))
    if not isinstance(properties, Mapping) or not all(
        isinstance(each, list) for each in (required, allowed, members)
    ):
        return False  # No schema at all, which the emulation reports.
    values = (schema.get("const"), *allowed)
    return (
        (bool(properties) or others is False or not _is_object(schema))
        and others in (None, False)
        and CONDITIONS.isdisjoint(schema)
        and "prefixItems" not in schema
        and all(isinstance(each, str) and each in properties for each in required)
        and not any(_is_object(each) or "$ref" in each for each in members if isinstance(each, Mapping))
        and not any(isinstance(each, dict | list) for each in values)
    )


def _schemas_in(schema: Any) -> list[Any]:
    """The schema and all that the vendor enforces in it."""
    found = [schema]
    for each in found:
        if not isinstance(each, Mapping):
            continue
        for keyword, value in each.items():
            if keyword in SCHEMA_MAPS and isinstance(value, Mapping):
                found += value.values()
            elif keyword in UNIONS and isinstance(value, list):
                found += value
            elif keyword == "items":
                found.append(value)
    return found


def _is_recursive(root: Mapping[str, Any]) -> bool:
    """Whether a reference leads back to itself."""
    leads_to: dict[int, list[int]] = {}
    waiting: list[Any] = [root]
    while waiting:
        schema = waiting.pop()
        if id(schema) in leads_to:
            continue
        inner = [each["$ref"] for each in _schemas_in(schema) if isinstance(each, Mapping) and "$ref" in each]
        targets = [resolve(reference, root) for reference in inner]
        leads_to[id(schema)] = [id(each) for each in targets]
        waiting += targets
    try:
        TopologicalSorter(leads_to).prepare()
    except CycleError:
        return True
    return False


def _adapt(schema: Mapping[str, Any], unenforced: list[str]) -> dict[str, Any]:
    adapted: dict[str, Any] = {}
    rest = {
        keyword: value
        for keyword, value in schema.items()
        if not _adapt_keyword(keyword, value, adapted, unenforced) and keyword not in ANNOTATIONS
    }
    if _is_object(schema):
        adapted["additionalProperties"] = False
        if rest.get("additionalProperties") is False:
            del rest["additionalProperties"]
    if rest:
        unenforced += rest
        described = orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode()
        adapted["description"] = "\n\n".join(text for text in (adapted.get("description"), described) if text)
    return adapted


def _adapt_keyword(keyword: str, value: Any, adapted: dict[str, Any], unenforced: list[str]) -> bool:
    """Copies the keyword if the vendor enforces it; returns whether it does."""
    if keyword in SCHEMA_MAPS and isinstance(value, Mapping):
        adapted[keyword] = {name: _adapt_any(each, unenforced) for name, each in value.items()}
    elif keyword in SCHEMA_LISTS and isinstance(value, list):
        adapted[keyword] = [_adapt_any(each, unenforced) for each in value]
    elif keyword == "oneOf" and isinstance(value, list) and "anyOf" not in adapted:
        # That exactly one matches is not enforced; that one matches is.
        adapted["anyOf"] = [_adapt_any(each, unenforced) for each in value]
    elif keyword == "items" and isinstance(value, Mapping):
        adapted[keyword] = _adapt(value, unenforced)
    elif (
        keyword in COPIED_KEYWORDS
        or (keyword == "format" and value in STRING_FORMATS)
        or (keyword == "minItems" and value in {0, 1})
    ):
        adapted[keyword] = value
    else:
        return False
    return True


def _adapt_any(schema: Any, unenforced: list[str]) -> Any:
    return _adapt(schema, unenforced) if isinstance(schema, Mapping) else schema


def _is_object(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    return "object" in (kinds if isinstance(kinds, list) else [kinds]) or "properties" in schema
