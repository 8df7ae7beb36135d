"""JSON Schema (2020-12), compiled once. Its violations name the field by its path in the request.

Arguments come from callers, and are validated on the event loop: patterns are matched in linear time, and
why a large value is wrong is told of its first error only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import jsonschema_rs
from clawdbot_servicekit.errors import FieldViolation
from clawdbot_servicekit.json_schema_words import keyword_words, part_of_schema
from clawdbot_servicekit.suggestions import did_you_mean, nearest
from jsonschema_rs import ValidationError, ValidationErrorKind

MAX_VIOLATIONS: Final = 20
"""Violations reported for one value."""
MAX_DESCRIPTION_LENGTH: Final = 300
"""Characters of one description: a schema may have long words, and a value long names."""
MAX_COST: Final = 500_000
"""Bytes of a value for which all errors are looked for, and with alternatives in its schema, times the bytes
of that. The library finds all before it tells the first: 0.2 s at worst, and 0.1 ms for most values."""
ALTERNATIVES: Final = ('"anyOf"', '"oneOf"')
"""Keywords with errors for each alternative."""

_LEFT_TO_THE_TOOL: Final = ("date-time", "duration", "time", "uri")
"""Formats that are not validated: the types of most tools accept more than RFC 3339 and RFC 3986 do."""


class InvalidSchema(ValueError):
    """The document is not a schema, or has a pattern that cannot be matched in linear time."""


class Schema:
    """One schema. The constructor raises InvalidSchema if the document is not one."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        text = json.dumps(dict(document))
        self._weight = len(text) if any(keyword in text for keyword in ALTERNATIVES) else 1
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                dict(document),
                pattern_options=jsonschema_rs.RegexOptions(),
                offline=True,
                validate_formats=True,
                formats=dict.fromkeys(_LEFT_TO_THE_TOOL, lambda _: True),
            )
        except (ValueError, ValidationError, jsonschema_rs.ReferencingError) as error:
            raise InvalidSchema(f"It is not a JSON Schema (2020-12) with RE2 patterns: {error}") from None

    def violations(self, value: Any, root: str) -> list[FieldViolation]:
        """Returns what does not match, at most MAX_VIOLATIONS; empty if everything matches.

        Args:
            value: plain JSON values.
            root: the path of the value in the request, such as "arguments".
        """
        if self._validator.is_valid(value):
            return []
        violations = (
            violation for error in self._errors(value) for violation in self._violations_from(error, root)
        )
        return [violation for violation, _ in zip(violations, range(MAX_VIOLATIONS), strict=False)]

    def _errors(self, value: Any) -> Iterable[ValidationError]:
        if self._weight * len(json.dumps(value)) <= MAX_COST:
            return self._validator.iter_errors(value)
        try:
            self._validator.validate(value)
        except ValidationError as error:
            return (error,)
        return ()

    def _violations_from(self, error: ValidationError, root: str) -> Iterator[FieldViolation]:
        """Yields one violation for each field that an error is about."""
        error = _closest(error)
        path = field_path(root, error.instance_path)
        *outer, keyword = error.schema_path or [""]
        inner = part_of_schema(self.document, outer)
        if isinstance(error.kind, ValidationErrorKind.Required):
            yield FieldViolation(f"{path}.{_truncate(str(error.kind.property))}", "is required.")
        elif isinstance(error.kind, ValidationErrorKind.AdditionalProperties):
            known = part_of_schema(inner, ["properties"]) or {}
            names: Iterable[str] = error.kind.unexpected
            if isinstance(error.instance, dict) and "patternProperties" not in inner:
                names = error.instance.keys() - known.keys()  # `validate` names only one of them
            for name in sorted(names):
                yield FieldViolation(
                    f"{path}.{_truncate(name)}", f"does not exist.{did_you_mean(nearest(name, known))}"
                )
        else:
            words = keyword_words(str(keyword), part_of_schema(inner, [keyword]), inner)
            yield FieldViolation(path, f"{_truncate(words)}.")


def _closest(error: ValidationError) -> ValidationError:
    """Why the only alternative whose type fits does not match, since "no alternative matches" says little."""
    kind = error.kind
    while isinstance(kind, ValidationErrorKind.AnyOf | ValidationErrorKind.OneOfNotValid):
        fitting = [
            branch[0]
            for branch in kind.context
            if branch
            and not any(
                isinstance(each.kind, ValidationErrorKind.Type) and each.instance_path == error.instance_path
                for each in branch
            )
        ]
        if len(fitting) != 1:
            break
        error = fitting[0]
        kind = error.kind
    return error


def field_path(root: str, parts: Iterable[str | int]) -> str:
    """The path as people write it: arguments.guests[0].name."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION_LENGTH else f"{text[:MAX_DESCRIPTION_LENGTH]}…"
