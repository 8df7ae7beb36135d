"""Names, versions and durations as an author writes them, checked where they are written.

Authors may do without a type checker, so nothing is taken for granted about the types here.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
VERSION: Final = re.compile(r"\d+(\.\d+){1,2}(\.?[-+a-zA-Z][-+.a-zA-Z0-9]{0,39})?")
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def name(kind: str, text: Any) -> str:
    """The text, if it is a name: "book_table". TypeError otherwise; `kind` says whose name it is."""
    if not isinstance(text, str) or not NAME.fullmatch(text):
        raise TypeError(
            f"{text!r} cannot be the name of a {kind}: lower-case letters, digits and underscores, "
            "beginning with a letter, at most 40."
        )
    return text


def version(text: Any) -> str:
    """The text, if it is a version: "1.2.0". TypeError otherwise."""
    if not isinstance(text, str) or not VERSION.fullmatch(text):
        raise TypeError(f"{text!r} is not a version such as 1.2.0.")
    return text


def seconds(what: str, value: Any) -> float:
    """Seconds from "5s", "250ms", "2m" or a number. TypeError for anything else, and for 0."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        found = float(match[1]) * UNITS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    else:
        raise TypeError(f"{what}={value!r}: expected a duration such as '5s', '250ms' or 2.5 (seconds).")
    if not 0 < found < math.inf:
        raise TypeError(f"{what}={value!r}: expected more than 0.")
    return found


def whole(what: str, value: Any) -> int:
    """A whole number. TypeError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what}={value!r}: expected a whole number.")
    return value


def count(what: str, value: Any) -> int:
    """A whole number, at least 1. TypeError for anything else."""
    if whole(what, value) < 1:
        raise TypeError(f"{what}={value!r}: expected at least 1.")
    return int(value)
