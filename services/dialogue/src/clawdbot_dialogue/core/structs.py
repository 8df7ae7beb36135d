"""Plain values as the wire has them, and back.

By hand: the library's own way goes through JSON text or reflection, and slots are converted with every turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

EXACT: Final = 2.0**53
"""Up to here a double holds every whole number."""


def struct(values: Mapping[str, object]) -> Struct:
    """A mapping of JSON values. ValueError for what JSON does not have."""
    made = Struct()
    for key, each in values.items():
        _fill(made.fields[key], each)
    return made


def value(plain: object) -> Value:
    """One JSON value. ValueError for what JSON does not have."""
    made = Value()
    _fill(made, plain)
    return made


def plain(given: Struct) -> dict[str, object]:
    """A struct as plain values. Whole numbers become int: the wire knows only doubles, and people write 4."""
    return {key: _plain(each) for key, each in given.fields.items()}


def finite(given: Struct) -> bool:
    """Whether every number in it is one that JSON has: neither NaN nor infinite."""
    return all(_finite(each) for each in given.fields.values())


def _fill(into: Value, plain: object) -> None:
    if plain is None:
        into.null_value = NULL_VALUE
    elif isinstance(plain, bool):
        into.bool_value = plain
    elif isinstance(plain, str):
        into.string_value = plain
    elif isinstance(plain, int | float):
        into.number_value = plain
    elif isinstance(plain, Mapping):
        into.struct_value.SetInParent()
        for key, each in plain.items():
            _fill(into.struct_value.fields[key], each)
    elif isinstance(plain, Sequence):
        into.list_value.SetInParent()
        for each in plain:
            _fill(into.list_value.values.add(), each)
    else:
        raise ValueError(f"JSON has no {type(plain).__name__}")


def _plain(given: Value) -> object:
    kind = given.WhichOneof("kind")
    if kind == "string_value":
        return given.string_value
    if kind == "number_value":
        number = given.number_value
        return int(number) if number.is_integer() and abs(number) < EXACT else number
    if kind == "bool_value":
        return given.bool_value
    if kind == "struct_value":
        return plain(given.struct_value)
    if kind == "list_value":
        return [_plain(each) for each in given.list_value.values]
    return None


def _finite(given: Value) -> bool:
    kind = given.WhichOneof("kind")
    if kind == "number_value":
        return math.isfinite(given.number_value)
    if kind == "struct_value":
        return finite(given.struct_value)
    return kind != "list_value" or all(_finite(each) for each in given.list_value.values)
