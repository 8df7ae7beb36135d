"""Marks the parts of a flow's source that may be written once for each language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler

from clawdbot_dialogue.core.language.language_pack import LOCALES


@dataclass(frozen=True, slots=True)
class PerLocale:
    """In a type's annotation: a mapping from locale to value may stand for the value.

    `variants` chooses among them before a source is fitted, so validation only ever sees the value; editors
    are told of both.
    """

    needed: bool = True
    """Whether a plain text in a flow of several languages lacks the others: what a person reads does, what a
    model reads does not."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The value, or a mapping from the known locales to such values."""
        one = handler(core_schema)
        mapping = {
            "type": "object",
            "properties": {name: dict(one) for name in LOCALES},
            "additionalProperties": False,
            "minProperties": 1,
        }
        return {"anyOf": [one, mapping]}
