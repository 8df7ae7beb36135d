"""Says in plain words what pydantic found: what is wrong and what is expected, never how it was checked.

No sentence contains the value, which may be a secret, a regular expression, or the library's own wording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from clawdbot_servicekit.durations import duration_text

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top: ("auth", "keys", 0, "tenant")."""

EXPECTED: Final[Mapping[str, str]] = {
    "bool": "true or false",
    "int": "a whole number",
    "int_parsing_size": "a smaller number",
    "float": "a number",
    "decimal": "a number",
    "fraction": "a number",
    "complex": "a number",
    "string": "text",
    "bytes": "text",
    "path": "a path",
    **dict.fromkeys(("list", "tuple", "set", "frozen_set", "deque", "iterable"), "a list"),
    **dict.fromkeys(
        ("dict", "frozen_dict", "mapping", "model", "dataclass"), "a section with keys of its own"
    ),
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "none_required": "null",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text of another form: the documentation of this key says which",
    "string_not_ascii": "ASCII text",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "date": "a date such as 2026-05-01",
    "date_past": "a date in the past",
    "date_future": "a date in the future",
    "time": "a time such as 19:30",
    "datetime": "a date and time such as 2026-05-01T19:30:00Z",
    "datetime_past": "a time in the past",
    "datetime_future": "a time in the future",
    "timezone_naive": "a time without a time zone",
    "timezone_aware": "a time with a time zone, such as 2026-05-01T19:30:00Z",
    "time_delta": "a duration",
    **dict.fromkeys(("url", "url_syntax_violation"), "a URL such as https://example.com"),
    "url_scheme": "a URL that begins with {expected_schemes}",
    "url_too_long": "at most {max_length} characters",
    "uuid": "a UUID such as 123e4567-e89b-12d3-a456-426614174000",
    "ip_v4_address": "an IPv4 address such as 10.0.0.7",
    "ip_v6_address": "an IPv6 address such as fd00::7",
    "ip_any_address": "an IP address such as 10.0.0.7",
    "ip_any_network": "a network such as 10.1.0.0/16",
    "path_not_file": "the path of a file that exists",
    "path_not_directory": "the path of a folder that exists",
    "path_exists": "a path that does not exist yet",
}
"""Type of a pydantic error, or its stem before _type or _parsing → what was expected."""

OTHER_VALUE: Final = "another value: the documentation of this key says which"
"""For errors of pydantic that no configuration of ours can cause."""

_ENDINGS: Final = ("_type", "_parsing", "_attributes_type", "_exact_type", "_from_float", "_invalid")
_OWN_WORDS: Final = ("Input ", "Value ", "value is not")
"""Beginnings of what pydantic itself says."""


def explain(errors: Sequence[ErrorDetails], *, duration: bool = False) -> str:
    """What is wrong with one value, without a full stop.

    Args:
        errors: of the value; several where it fits no member of a union.
        duration: whether it is a duration, whose bounds have units.
    """
    words = list(dict.fromkeys(_expectation(each, duration=duration) for each in errors))
    expected = [each.removeprefix("expected ") for each in words if each.startswith("expected ")]
    others = [each for each in words if not each.startswith("expected ")]
    # A validator's own words are about the member of a union that the value has the form of.
    text = "; ".join(others) or "expected " + " or ".join(expected)
    return text.replace(" 1 characters", " 1 character").replace(" 1 entries", " 1 entry").rstrip(".")


def errors_by_path(values: Any, error: ValidationError) -> dict[KeyPath, list[ErrorDetails]]:
    """The errors of each value that is wrong.

    A value that fits no member of a union yields an error for each member; the deepest ones are about the
    member that the author meant.

    Args:
        values: what was validated.
        error: what pydantic found.
    """
    found: dict[KeyPath, list[ErrorDetails]] = {}
    for each in error.errors(include_url=False, include_input=False):
        found.setdefault(_key_path(values, each), []).append(each)
    return {
        path: errors
        for path, errors in found.items()
        if not any(len(other) > len(path) and other[: len(path)] == path for other in found)
        or all(each["type"] == "extra_forbidden" for each in errors)
    }


def section_errors(name: str, values: Any, error: ValidationError) -> str:
    """One line for each value of a section that is wrong.

    Args:
        name: of the section.
        values: what was validated.
        error: what pydantic found.
    """
    found = errors_by_path(values, error).items()
    return "\n".join(f"{dotted((name, *path))}: {sentence(explain(errors))}" for path, errors in found)


def sentence(text: str) -> str:
    """The text with a full stop, unless it is a question."""
    return text if text.endswith("?") else f"{text}."


def dotted(path: KeyPath) -> str:
    """The usual notation: auth.keys[0].tenant."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the configuration"


def _expectation(error: ErrorDetails, *, duration: bool) -> str:
    kind = error["type"]
    context = error.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", "")) or f"expected {OTHER_VALUE}"
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not a known key"
    stem = kind
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    expected = EXPECTED.get(kind) or EXPECTED.get(stem)
    if expected is None and kind not in get_args(ErrorType) and not error["msg"].startswith(_OWN_WORDS):
        return error["msg"]  # a PydanticCustomError, in its author's words
    context = {key: _bound(each, duration=duration) for key, each in context.items()}
    return f"expected {(expected or OTHER_VALUE).format(**context)}"


def _bound(value: Any, *, duration: bool) -> Any:
    if not isinstance(value, int | float):
        return value
    if duration:
        return duration_text(value) if value else 0
    # Bounds of numbers are floats, also where people write whole numbers.
    return int(value) if float(value).is_integer() else value


def _key_path(values: Any, error: ErrorDetails) -> KeyPath:
    """Where in the values an error is: pydantic's location without its names for members of a union."""
    path: list[str | int] = []
    inner: Any = values
    location = list(error["loc"])
    key = error.get("ctx", {}).get("key")
    if key is not None and error["type"] == "secret_file":
        location.append(key)
    for index, part in enumerate(location):
        in_list = isinstance(inner, list | tuple) and isinstance(part, int) and part < len(inner)
        if in_list or (isinstance(inner, dict) and part in inner):
            path.append(part)
            inner = inner[part]
        elif error["type"] == "missing" and index == len(location) - 1:
            path.append(part)
    return tuple(path)
