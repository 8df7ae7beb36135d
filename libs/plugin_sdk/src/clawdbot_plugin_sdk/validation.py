"""Validates names, versions, durations and counts where a plugin's author writes them.

Authors may not use a type checker, so these functions check the types of their arguments too.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

NAME_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
VERSION_PATTERN: Final = re.compile(r"\d+(\.\d+){1,2}(\.?[-+a-zA-Z][-+.a-zA-Z0-9]{0,39})?")
SECONDS_PER_UNIT: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)


def name(kind: str, text: Any) -> str:
    """Returns the text if it is a valid name, such as "book_table". TypeError otherwise.

    Args:
        kind: what the name is for, used in the message: "plugin" or "tool".
        text: the name as the author wrote it.
    """
    if not isinstance(text, str) or not NAME_PATTERN.fullmatch(text):
        raise TypeError(
            f"{text!r} cannot be the name of a {kind}: use at most 40 lower-case letters, digits and "
            "underscores, starting with a letter."
        )
    return text


def version(text: Any) -> str:
    """Returns the text if it is a version, such as "1.2.0". TypeError otherwise."""
    if not isinstance(text, str) or not VERSION_PATTERN.fullmatch(text):
        raise TypeError(f"{text!r} is not a version (example: 1.2.0).")
    return text


def seconds(parameter: str, value: Any) -> float:
    """Converts "5s", "250ms", "1m30s" or a number to seconds. TypeError for anything else, and for 0."""
    duration: float | None = None
    if isinstance(value, str):
        duration = _duration_seconds(value.strip().lower())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        duration = float(value)
    if duration is None:
        raise TypeError(f"{parameter}={value!r}: expected a duration such as '5s', '250ms' or 2.5 (seconds).")
    if not 0 < duration < math.inf:
        raise TypeError(f"{parameter}={value!r}: expected a finite duration of more than 0.")
    return duration


def _duration_seconds(text: str) -> float | None:
    # The same as clawdbot_servicekit.durations, which a plugin's author need not have.
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * SECONDS_PER_UNIT[unit] for number, unit in _DURATION_PART.findall(text))


def integer(parameter: str, value: Any) -> int:
    """Returns the value if it is an integer. TypeError otherwise."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{parameter}={value!r}: expected an integer.")
    return value


def positive_integer(parameter: str, value: Any) -> int:
    """Returns the value if it is an integer of at least 1. TypeError otherwise."""
    if integer(parameter, value) < 1:
        raise TypeError(f"{parameter}={value!r}: expected at least 1.")
    return int(value)
