"""What others wrote, made harmless for a terminal; and values as short text.

Models, tools and flows may say anything. Here every character that a terminal would obey instead of show is
replaced by one that it shows.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

PICTURES: Final = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # U+2400…: pictures of the C0 controls, such as ␛
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), REPLACEMENT),  # C1: 0x9B begins a control sequence in one character
    **dict.fromkeys((0x2028, 0x2029), "\n"),
    # Bidirectional overrides and isolates make text read otherwise than it is (CVE-2021-42574).
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), REPLACEMENT),
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): "",
}

LONGEST_VALUE: Final = 60
"""Characters of a slot's or an argument's value."""


def harmless(text: str) -> str:
    """The text with nothing in it that a terminal would obey, but line breaks and tabs."""
    return text.translate(PICTURES)


def one_line(text: str, limit: int) -> str:
    """Harmless text on one line, cut with an ellipsis where it is longer than `limit` characters."""
    line = " ".join(harmless(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def value_text(value: Value) -> str:
    """A slot's or an argument's value, short: bare words as they are, the rest as JSON."""
    return one_line(_written(_python(value)), LONGEST_VALUE)


def pairs(values: Struct) -> str:
    """name=value, in the order of the names."""
    return " ".join(
        f"{one_line(name, LONGEST_VALUE)}={value_text(values.fields[name])}" for name in sorted(values.fields)
    )


def _written(value: Any) -> str:
    if isinstance(value, str) and value and not any(unicodedata.category(each)[0] in "ZC" for each in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _python(value: Value) -> Any:
    """As Python has it. Not through json_format, which refuses what is no JSON, such as infinity."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _python(each) for name, each in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_python(each) for each in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        # Struct knows no whole numbers: 4.0 was a 4.
        return int(number) if number.is_integer() else number
    return getattr(value, kind) if kind in ("string_value", "bool_value") else None
