"""Makes text from models, tools and flows safe for a terminal, and formats values as short text.

Characters that a terminal would obey are replaced by characters that it shows.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import ToolCall
from google.protobuf.struct_pb2 import Struct, Value

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

TRANSLATION: Final = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # U+2400…: pictures of the C0 controls, such as ␛
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), REPLACEMENT),  # C1: 0x9B begins a control sequence in one character
    **dict.fromkeys((0x2028, 0x2029), "\n"),
    # Bidirectional overrides and isolates make text read differently from what it is (CVE-2021-42574).
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), REPLACEMENT),
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): "",
}
"""Code point → what is shown instead."""

MAX_VALUE_LENGTH: Final = 60
"""Characters of a slot's or an argument's value."""


def sanitize(text: str) -> str:
    """The text without control characters, except line breaks and tabs."""
    return text.translate(TRANSLATION)


def one_line(text: str, limit: int) -> str:
    """Sanitized text on one line, cut with an ellipsis if it has more than `limit` characters."""
    line = " ".join(sanitize(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def format_value(value: Value) -> str:
    """A slot's or an argument's value, short: single words as they are, everything else as JSON."""
    return one_line(_word_or_json(_to_python(value)), MAX_VALUE_LENGTH)


def format_pairs(values: Struct) -> str:
    """name=value, sorted by name."""
    return _pairs({name: _to_python(each) for name, each in values.fields.items()})


def format_arguments(call: ToolCall) -> str:
    """The same for a call's arguments, with whole numbers exact where the call holds them so."""
    try:
        exact = json.loads(call.arguments_json or "null")
    except (ValueError, RecursionError):
        exact = None
    return _pairs(exact) if isinstance(exact, dict) else format_pairs(call.arguments)


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(
        f"{one_line(name, MAX_VALUE_LENGTH)}={one_line(_word_or_json(values[name]), MAX_VALUE_LENGTH)}"
        for name in sorted(values)
    )


def _word_or_json(value: Any) -> str:
    if isinstance(value, str) and value and not any(unicodedata.category(each)[0] in "ZC" for each in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _to_python(value: Value) -> Any:
    """The value as a Python object. json_format would refuse numbers that JSON lacks, such as infinity."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _to_python(each) for name, each in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_to_python(each) for each in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        # Struct has no integers: 4.0 was a 4.
        return int(number) if number.is_integer() else number
    return getattr(value, kind) if kind in ("string_value", "bool_value") else None
