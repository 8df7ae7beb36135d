"""JSON Schemas as structured outputs want them: objects closed, and no bounds, which they do not hold.

Source: Anthropic's page on structured outputs, "JSON Schema limitations", and what its own client does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

FORMATS: Final = frozenset(
    {
        *("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
    }
)
PLAIN: Final = frozenset({"type", "description", "title", "default", "enum", "const", "$ref", "required"})
"""Keywords that go as they are."""
MAPS: Final = frozenset({"properties", "$defs", "definitions"})
"""Keywords that hold schemas by name."""
LISTS: Final = frozenset({"anyOf", "allOf"})
SILENT: Final = frozenset({"$schema", "$id", "$comment", "examples"})
"""Keywords that bind nothing."""


def closed(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The schema to send, and the keywords that the vendor will not hold the reply to.

    Those are told to the model in the description of what they bind.
    """
    loose: list[str] = []
    return _closed(schema, loose), sorted(set(loose))


def _closed(schema: Mapping[str, Any], loose: list[str]) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    told = {
        keyword: value
        for keyword, value in schema.items()
        if not _take(keyword, value, sent, loose) and keyword not in SILENT
    }
    if _is_object(schema):
        sent["additionalProperties"] = False
        if told.get("additionalProperties") is False:
            del told["additionalProperties"]
    if told:
        loose += told
        said = orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()
        sent["description"] = "\n\n".join(each for each in (sent.get("description"), said) if each)
    return sent


def _take(keyword: str, value: Any, sent: dict[str, Any], loose: list[str]) -> bool:
    """Writes the keyword where the vendor holds a reply to it."""
    if keyword in MAPS and isinstance(value, Mapping):
        sent[keyword] = {name: _schema(each, loose) for name, each in value.items()}
    elif keyword in LISTS and isinstance(value, list):
        sent[keyword] = [_schema(each, loose) for each in value]
    elif keyword == "oneOf" and isinstance(value, list) and "anyOf" not in sent:
        # That only one fits is not held; that one fits is.
        sent["anyOf"] = [_schema(each, loose) for each in value]
    elif keyword == "items" and isinstance(value, Mapping):
        sent[keyword] = _closed(value, loose)
    elif (
        keyword in PLAIN
        or (keyword == "format" and value in FORMATS)
        or (keyword == "minItems" and value in {0, 1})
    ):
        sent[keyword] = value
    else:
        return False
    return True


def _schema(each: Any, loose: list[str]) -> Any:
    return _closed(each, loose) if isinstance(each, Mapping) else each


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object" or "properties" in schema
