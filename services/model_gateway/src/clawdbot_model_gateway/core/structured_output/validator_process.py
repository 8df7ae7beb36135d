"""Checks a schema, and validates a text against it. Imports little, since it also runs as a process.

`python -m …structured_output.validator_process` is asked in JSON, {"schema": …, "text": … or null}, and
answers in JSON as well: {"schema_error": …} for an invalid schema, else {"errors": …}. validation.py explains
why it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs
import orjson
from clawdbot_servicekit.json_schema_words import keyword_words, part_of_schema
from clawdbot_servicekit.limited_main import serve_questions

MAX_ERRORS: Final = 5
"""Errors that are reported together."""
MAX_ERROR_CHARACTERS: Final = 300
"""Characters of each error: a value that is repeated in it may be huge."""


class InvalidSchema(Exception):
    """The schema is invalid, or cannot be checked."""


def validation_errors(schema: Mapping[str, Any], text: str | None) -> str:
    """The first errors of a text, one per line; empty where it is valid, or None.

    Patterns are matched in linear time, and references cannot leave the schema.

    Raises:
        InvalidSchema: the schema is invalid, or has a pattern that cannot be matched in linear time.
    """
    try:
        validator = jsonschema_rs.Draft202012Validator(
            dict(schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise InvalidSchema(_schema_error(error)) from None
    if text is None:
        return ""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"It is not JSON: an error is in line {error.lineno}, column {error.colno}."
    errors = zip(range(MAX_ERRORS), validator.iter_errors(value), strict=False)
    return "\n".join(f"{_path(error.instance_path)}: {_words(error, schema)}." for _, error in errors)


def _words(error: jsonschema_rs.ValidationError, schema: Mapping[str, Any]) -> str:
    """What a value must be, in words; those for a missing or an unknown field name it."""
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f"{_shorten(str(kind.property))} is missing"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        return f"{_shorten(str(kind.unexpected[0]))} does not exist"
    *outer, keyword = error.schema_path or [""]
    inner = part_of_schema(schema, outer)
    return keyword_words(str(keyword), part_of_schema(inner, [keyword]), inner)


def _schema_error(error: Exception) -> str:
    """What is wrong with a schema, as a sentence."""
    if isinstance(error, jsonschema_rs.ValidationError):
        path = _path(error.instance_path) if error.instance_path else ""
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Referencing):
            return "It has a $ref that leads to nothing inside the schema."
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Format):
            return f"{path} is not a regular expression that takes linear time (RE2)."
        return f"{path or 'It'} is not what JSON Schema (2020-12) allows there."
    return "It is not a JSON Schema (2020-12)."


def _path(parts: list[str | int]) -> str:
    """A path for people to read: guests[0].name; "the value" for the whole."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return _shorten(path.removeprefix(".")) or "the value"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[:MAX_ERROR_CHARACTERS]}…"


def answer(question: bytes) -> bytes:
    """Validates once."""
    task: dict[str, Any] = orjson.loads(question)
    try:
        return orjson.dumps({"errors": validation_errors(task["schema"], task["text"])})
    except InvalidSchema as error:
        return orjson.dumps({"schema_error": str(error)})


if __name__ == "__main__":
    serve_questions(answer)
