"""JSON Schema (2020-12), compiled once, with violations that name the field as a caller wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from clawdbot_servicekit.errors import FieldViolation
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match

MOST: Final = 20
"""Violations told at once."""
LONGEST: Final = 300
"""Characters of one description: a value that is repeated in it may be huge."""

FORMATS: Final = ("date", "email", "ipv4", "ipv6", "regex", "uuid")
"""Formats that are checked. The library checks more when further packages happen to be installed, and what
a tool takes must not hang on that."""

_QUOTED: Final = re.compile(r"^'(.*)' is a required property$", re.DOTALL)


class Schema:
    """One schema. Making it raises jsonschema.SchemaError for what is none."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        Draft202012Validator.check_schema(document)
        self._validator = Draft202012Validator(document, format_checker=FormatChecker(FORMATS))

    def violations(self, value: Any, root: str) -> list[FieldViolation]:
        """What does not fit, at most MOST; empty where everything does.

        Args:
            value: plain JSON values.
            root: the path of the value in the request: "arguments".
        """
        if self._validator.is_valid(value):
            return []
        found = (each for error in self._validator.iter_errors(value) for each in _told(error, root))
        return [each for each, _ in zip(found, range(MOST), strict=False)]


def _told(error: ValidationError, root: str) -> Iterator[FieldViolation]:
    """One violation for each field that an error is about."""
    # `anyOf` says only that nothing fits; what comes closest says why.
    closest = best_match((error,)) or error
    path = field_path(root, closest.absolute_path)
    if closest.validator == "required" and (match := _QUOTED.match(closest.message)):
        yield FieldViolation(f"{path}.{match[1]}", "is required.")
    elif closest.validator == "additionalProperties" and isinstance(closest.instance, dict):
        known = closest.schema.get("properties", {}) if isinstance(closest.schema, dict) else {}
        for name in closest.instance:
            if name not in known:
                yield FieldViolation(
                    f"{path}.{_cut(str(name))}", f"does not exist.{_nearest(str(name), known)}"
                )
    else:
        yield FieldViolation(path, f"{_cut(closest.message)}.")


def field_path(root: str, parts: Iterable[str | int]) -> str:
    """As people write it: arguments.guests[0].name."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
