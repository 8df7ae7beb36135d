"""Adapts JSON Schemas to structured outputs: closes objects, and moves what is not enforced to descriptions.

Source: Anthropic's page on structured outputs, "JSON Schema limitations", and what its own client does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

STRING_FORMATS: Final = frozenset(
    {
        *("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
    }
)
COPIED_KEYWORDS: Final = frozenset(
    {"type", "description", "title", "default", "enum", "const", "$ref", "required"}
)
"""Keywords that are sent unchanged."""
SCHEMA_MAPS: Final = frozenset({"properties", "$defs", "definitions"})
"""Keywords that contain schemas by name."""
SCHEMA_LISTS: Final = frozenset({"anyOf", "allOf"})
ANNOTATIONS: Final = frozenset({"$schema", "$id", "$comment", "examples"})
"""Keywords that restrict nothing."""


def adapt_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The schema to send, and the keywords that the vendor does not enforce.

    The model reads those in the description of what they restrict.
    """
    unenforced: list[str] = []
    return _adapt(schema, unenforced), sorted(set(unenforced))


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
    return schema.get("type") == "object" or "properties" in schema
