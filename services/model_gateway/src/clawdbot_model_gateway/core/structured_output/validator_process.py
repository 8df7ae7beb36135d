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
        raise InvalidSchema(f"{_shorten(str(error))}.") from None
    if text is None:
        return ""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"It is not JSON: {_shorten(str(error))}."
    errors = zip(range(MAX_ERRORS), validator.iter_errors(value), strict=False)
    return "\n".join(f"{_path(error.instance_path)}: {_shorten(error.message)}." for _, error in errors)


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
