"""Reads vendors' JSON, in which any value may be missing or of another type.

Text may be cut inside a character, at half a surrogate pair or between two bytes: what is left of it is kept
as surrogates, which text_joiner.py puts together again.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

MAX_COUNT: Final = 2**31
"""Tokens. A larger number is not a count."""
BYTE_ORDER_MARK: Final = "\ufeff"
_SURROGATE: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""Half of a surrogate pair as Java writes it in its modified UTF-8."""
_COUNT: Final = re.compile(r"(\d{1,16})(\.0{1,16})?")
"""A count as some servers write it: 7.0, or a text."""


def load_json(data: bytes) -> Any:
    """The value of a JSON text. ValueError if it is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return load_exactly(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_object(data: bytes) -> bool:
    """Whether it is a whole JSON object."""
    if data.lstrip()[:1] != b"{":
        return False
    try:
        load_json(data)
    except ValueError:
        return False
    return True


def load_exactly(data: bytes) -> Any:
    """The same, slower, with whole numbers of any size: orjson makes floats of those beyond 64 bits."""
    data = _SURROGATE.sub(_escaped, data)
    text = data.decode("utf-8", "surrogateescape").removeprefix(BYTE_ORDER_MARK)
    # Not strict: some servers leave control characters in strings as they are.
    return json.loads(text, strict=False, parse_constant=_no_number)


def dump_exactly(value: Any) -> str:
    """The JSON text of a value, with whole numbers of any size."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_string(value: Any) -> str:
    """The value; empty if it is not a string."""
    return value if isinstance(value, str) else ""


def as_object(value: Any) -> dict[str, Any]:
    """The value; empty if it is not an object."""
    return value if isinstance(value, dict) else {}


def count_in(counts: Any, *names: str) -> int:
    """The first field of these names that is a count; 0 if there is none."""
    if counts and isinstance(counts, dict):
        for name in names:
            value = counts.get(name)
            if value is None:
                continue
            if type(value) is not int:
                written = _COUNT.fullmatch(str(value)) if isinstance(value, float | str) else None
                value = 0 if written is None else int(written[1])
            if 0 < value < MAX_COUNT:
                return value
    return 0


def _escaped(surrogate: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(surrogate[0].decode("utf-8", "surrogatepass"))


def _no_number(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")
