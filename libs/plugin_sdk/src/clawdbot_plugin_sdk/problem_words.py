"""Says in plain words what pydantic found in arguments and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic_core import ErrorDetails

EXPECTED: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "does not exist",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "string_too_short": "has fewer than {min_length} characters",
    "string_too_long": "has more than {max_length} characters",
    "too_short": "has fewer than {min_length} entries",
    "too_long": "has more than {max_length} entries",
    "date_type": "must be a date such as 2026-05-01",
    "date_parsing": "must be a date such as 2026-05-01",
    "date_from_datetime_parsing": "must be a date such as 2026-05-01",
    "date_from_datetime_inexact": "must be a date such as 2026-05-01",
    "time_type": "must be a time such as 19:30",
    "time_parsing": "must be a time such as 19:30",
    "datetime_type": "must be a date and time such as 2026-05-01T19:30:00Z",
    "datetime_parsing": "must be a date and time such as 2026-05-01T19:30:00Z",
    "datetime_from_date_parsing": "must be a date and time such as 2026-05-01T19:30:00Z",
    "timezone_naive": "must be a time without a time zone",
    "timezone_aware": "must be a time with a time zone, such as 2026-05-01T19:30:00Z",
    "time_delta_type": "must be a duration such as PT10M",
    "time_delta_parsing": "must be a duration such as PT10M",
    "url_parsing": "must be a URL such as https://example.com",
    "uuid_parsing": "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000",
}
"""Type of a pydantic error → what was expected."""


def problem_words(error: ErrorDetails) -> str:
    """What is wrong with a value, without a full stop: never the value, a pattern, or the library's words."""
    context = error.get("ctx", {})
    if error["type"] in ("value_error", "assertion_error") and str(context.get("error", "")):
        return str(context["error"]).rstrip(".")  # what the plugin's own validator says
    return EXPECTED.get(error["type"], "does not have the required form").format(**context)
