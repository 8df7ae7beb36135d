"""Plain Python values from google.protobuf.Struct and back.

The library's own conversion goes through JSON text or reflection; tools are called too often for that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

EXACT: Final = 2.0**53
"""Up to here a double holds every whole number."""


def plain(struct: Struct) -> dict[str, Any]:
    """The struct as a dict. Whole numbers become ints: JSON does not tell 4 from 4.0, and people write 4."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def struct(values: Mapping[str, Any]) -> Struct:
    """A mapping of JSON values as a Struct. ValueError for what JSON does not have, such as NaN."""
    made = Struct()
    for key, value in values.items():
        _fill(made.fields[_key(key)], value)
    return made


def canonical(values: Mapping[str, Any]) -> bytes:
    """The same bytes for equal values, whatever the order of their keys."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < EXACT else number
    if kind == "struct_value":
        return plain(value.struct_value)
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _fill(into: Value, value: Any) -> None:
    if value is None:
        into.null_value = NULL_VALUE
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, int | float):
        into.number_value = _number(value)
    elif isinstance(value, Mapping):
        into.struct_value.CopyFrom(struct(value))
    elif isinstance(value, list | tuple):
        into.list_value.CopyFrom(_list(value))
    else:
        raise ValueError(f"JSON has no {type(value).__name__}")


def _number(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("the number is too large for a double") from None
    if not math.isfinite(number):
        raise ValueError("JSON has no NaN and no infinity")
    return number


def _list(values: list[Any] | tuple[Any, ...]) -> ListValue:
    made = ListValue()
    for each in values:
        _fill(made.values.add(), each)
    return made


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"JSON has no key of type {type(key).__name__}")  # noqa: TRY004 - the same
    return key
