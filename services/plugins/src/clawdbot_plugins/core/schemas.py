"""JSON Schema (2020-12), compiled once. Its violations name the field by its path in the request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from clawdbot_servicekit.errors import FieldViolation
from clawdbot_servicekit.json_schema_words import keyword_words
from clawdbot_servicekit.suggestions import did_you_mean, nearest
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match

MAX_VIOLATIONS: Final = 20
"""Violations reported for one value."""
MAX_DESCRIPTION_LENGTH: Final = 300
"""Characters of one description: a schema may have long words, and a value long names."""

CHECKED_FORMATS: Final = ("date", "email", "ipv4", "ipv6", "regex", "uuid")
"""The formats that are validated. The library validates more if other packages happen to be installed, and
what a tool accepts must not depend on that."""

_REQUIRED_PATTERN: Final = re.compile(r"^'(.*)' is a required property$", re.DOTALL)


class Schema:
    """One schema. The constructor raises jsonschema.SchemaError if the document is not a schema."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        Draft202012Validator.check_schema(document)
        self._validator = Draft202012Validator(document, format_checker=FormatChecker(CHECKED_FORMATS))

    def violations(self, value: Any, root: str) -> list[FieldViolation]:
        """Returns what does not match, at most MAX_VIOLATIONS; empty if everything matches.

        Args:
            value: plain JSON values.
            root: the path of the value in the request, such as "arguments".
        """
        if self._validator.is_valid(value):
            return []
        violations = (
            violation
            for error in self._validator.iter_errors(value)
            for violation in _violations_from(error, root)
        )
        return [violation for violation, _ in zip(violations, range(MAX_VIOLATIONS), strict=False)]


def _violations_from(error: ValidationError, root: str) -> Iterator[FieldViolation]:
    """Yields one violation for each field that an error is about."""
    # `anyOf` says only that no alternative matches; the closest one says why.
    closest = best_match((error,)) or error
    path = field_path(root, closest.absolute_path)
    if closest.validator == "required" and (match := _REQUIRED_PATTERN.match(closest.message)):
        yield FieldViolation(f"{path}.{match[1]}", "is required.")
    elif closest.validator == "additionalProperties" and isinstance(closest.instance, dict):
        known = closest.schema.get("properties", {}) if isinstance(closest.schema, dict) else {}
        for name in closest.instance:
            if name not in known:
                yield FieldViolation(
                    f"{path}.{_truncate(str(name))}",
                    f"does not exist.{did_you_mean(nearest(str(name), known))}",
                )
    else:
        words = keyword_words(str(closest.validator), closest.validator_value, closest.schema)
        yield FieldViolation(path, f"{_truncate(words)}.")


def field_path(root: str, parts: Iterable[str | int]) -> str:
    """The path as people write it: arguments.guests[0].name."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION_LENGTH else f"{text[:MAX_DESCRIPTION_LENGTH]}…"
