"""Plain Python values from google.protobuf.Struct and back.

The library's own conversion goes through JSON text or reflection; tools are called too often for that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from clawdbot_servicekit.faults import InvalidRequest
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

EXACT: Final = 2.0**53
"""Up to here a double holds every whole number."""

DEEPEST: Final = 30
"""Objects and lists within each other. Protobuf's readers stop at 100 messages, and one level takes three."""

LONGEST_PATH: Final = 200
"""Characters of a path that a caller is told: keys may be huge."""


def plain(struct: Struct, root: str) -> dict[str, Any]:
    """The struct as a dict. Whole numbers become ints: JSON does not tell 4 from 4.0, and people write 4.

    Args:
        struct: from a request.
        root: its path there, such as "arguments".

    Raises:
        InvalidRequest: for NaN and the infinities, which protobuf carries and JSON does not have.
    """
    try:
        return _plain_struct(struct)
    except _NotFinite as error:
        # The path is put together only now: for each of many values under a huge key it would be huge work.
        path = root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
        raise InvalidRequest.of(path[:LONGEST_PATH], "must be a finite number.") from None


def struct(values: Mapping[str, Any], deepest: int = DEEPEST) -> Struct:
    """A mapping of JSON values as a Struct.

    Raises:
        ValueError: for what JSON does not have, such as NaN, and for more levels than `deepest`.
    """
    made = Struct()
    for key, value in values.items():
        _fill(made.fields[_key(key)], value, deepest)
    return made


def canonical(values: Mapping[str, Any]) -> bytes:
    """The same bytes for equal values, whatever the order of their keys."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class _NotFinite(Exception):
    def __init__(self) -> None:
        self.path: list[str | int] = []
        super().__init__()


def _plain_struct(struct: Struct) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in struct.fields.items():
        try:
            made[key] = _plain(value)
        except _NotFinite as error:
            error.path.insert(0, key)
            raise
    return made


def _plain_list(values: ListValue) -> list[Any]:
    made: list[Any] = []
    for value in values.values:
        try:
            made.append(_plain(value))
        except _NotFinite as error:
            error.path.insert(0, len(made))
            raise
    return made


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            raise _NotFinite
        return int(number) if number.is_integer() and abs(number) < EXACT else number
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return _plain_list(value.list_value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def _fill(into: Value, value: Any, deepest: int) -> None:
    if not deepest:
        raise ValueError("the value has too many levels")
    if value is None:
        into.null_value = NULL_VALUE
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, int | float):
        into.number_value = _number(value)
    elif isinstance(value, Mapping):
        into.struct_value.CopyFrom(struct(value, deepest - 1))
    elif isinstance(value, list | tuple):
        into.list_value.CopyFrom(_list(value, deepest - 1))
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


def _list(values: list[Any] | tuple[Any, ...], deepest: int) -> ListValue:
    made = ListValue()
    for each in values:
        _fill(made.values.add(), each, deepest)
    return made


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"JSON has no key of type {type(key).__name__}")  # noqa: TRY004 - the same
    return key
