"""google.protobuf.Struct to plain Python and back.

The library's own json_format does it too, at several times the cost and through text; here whole numbers come
back as int, so that a schema's `"minItems": 1` does not leave as 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import orjson
from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value

EXACT: Final = 2.0**53
"""Up to here a double holds every whole number; a larger one stays a float, which any JSON writer takes."""

MAX_DEPTH: Final = 24
"""Objects and lists inside each other. A protobuf parser refuses more than 100 nested messages, each level
takes three, and the messages around the Struct need some as well: what is deeper could be sent and never
read."""


def to_plain(struct: Struct) -> dict[str, Any]:
    """The object as a dict of str, float or int, bool, None, list and dict."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= EXACT else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return to_plain(value.struct_value)
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    return None


def to_json(struct: Struct) -> bytes:
    """The object as JSON, the same bytes for the same object.

    A Struct keeps no order of its keys, and vendors' prompt caches compare bytes.
    """
    return orjson.dumps(to_plain(struct), option=orjson.OPT_SORT_KEYS)


def to_struct(plain: Mapping[str, Any]) -> Struct:
    """The object as a Struct. Numbers become doubles, as in JSON.

    Raises:
        ValueError: a value that JSON does not have, a number that no double holds, or more than MAX_DEPTH
            levels.
    """
    return _struct(plain, MAX_DEPTH)


def _struct(plain: Mapping[str, Any], depth: int) -> Struct:
    if depth == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    return Struct(fields={key: _value(each, depth - 1) for key, each in plain.items()})


def _value(plain: Any, depth: int) -> Value:
    if plain is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if isinstance(plain, str):
        return Value(string_value=plain)
    # bool before numbers: it is an int to Python.
    if isinstance(plain, bool):
        return Value(bool_value=plain)
    if isinstance(plain, int | float):
        return Value(number_value=_number(plain))
    if isinstance(plain, Mapping):
        return Value(struct_value=_struct(plain, depth))
    if isinstance(plain, list | tuple):
        if depth == 0:
            raise ValueError(f"more than {MAX_DEPTH} levels")
        return Value(list_value=ListValue(values=[_value(each, depth - 1) for each in plain]))
    raise ValueError(f"{type(plain).__name__} is not JSON")


def _number(plain: float) -> float:
    try:
        number = float(plain)
    except OverflowError:
        raise ValueError("a number too large for a double") from None
    if not math.isfinite(number):
        raise ValueError("JSON has no NaN and no infinity")
    return number
