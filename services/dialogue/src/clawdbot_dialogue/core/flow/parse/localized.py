"""Marks the parts of a flow's source that may have one value per language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler

from clawdbot_dialogue.core.language.language_registry import installed_languages


@dataclass(frozen=True, slots=True)
class Localized:
    """In a type's annotation: a mapping from locale to value may be written instead of the value.

    `localization` chooses one value before a source is validated, so validation only sees plain values. The
    JSON Schema allows both.
    """

    required: bool = True
    """Whether a plain text in a flow of several languages is an error: it is one for text that a person
    reads, but not for text that a model reads."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The value, or a mapping from the known locales to such values."""
        value = handler(core_schema)
        mapping = {
            "type": "object",
            "properties": {name: dict(value) for name in installed_languages()},
            "additionalProperties": False,
            "minProperties": 1,
        }
        return {"anyOf": [value, mapping]}
