"""Converts google.protobuf.Struct to plain Python values, and back.

The library's own conversion goes through JSON text or reflection, at several times the cost, and structs are
converted with every turn and every tool call. Here whole numbers become int: people write 4, and a schema's
`"minItems": 1` must not be sent as 1.0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from clawdbot_servicekit.errors import InvalidRequest

EXACT: Final = 2.0**53
"""A double is exact for whole numbers below this; a larger one stays a float, as JSON writers accept it."""

MAX_DEPTH: Final = 24
"""Levels of nested objects and lists. A protobuf parser refuses more than 100 nested messages, and a level
takes up to three: 33 levels alone, 31 in the messages that the dialogue service stores and sends (measured by
tests/contract/protos/test_nested_values.py). The rest is room for flows that put values into others."""
TOO_DEEP: Final = f"is nested more than {MAX_DEPTH} levels deep."
"""What is wrong with a value at the path that path_too_deep returns."""

MAX_PATH_LENGTH: Final = 200
"""Characters of a path in an error message: keys may be huge."""


def to_plain(struct: Struct) -> dict[str, Any]:
    """The object as a dict of str, float or int, bool, None, list and dict."""
    return {key: _plain(each) for key, each in struct.fields.items()}


def to_json(struct: Struct) -> bytes:
    """The object as JSON, the same bytes for equal objects: a Struct does not keep the order of its keys."""
    return canonical_json(to_plain(struct))


def canonical_json(values: Mapping[str, Any]) -> bytes:
    """The JSON of plain values, with the same bytes for equal ones, whatever the order of their keys."""
    try:
        return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Whole numbers of more than 64 bits.
        return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def to_struct(values: Mapping[str, Any], max_depth: int = MAX_DEPTH) -> Struct:
    """The object as a Struct. Numbers become doubles, as in JSON.

    Raises:
        ValueError: for a value that JSON does not have, a number too large for a double, or more than
            `max_depth` levels.
    """
    made = Struct()
    fill_struct(made, values, max_depth)
    return made


def fill_struct(into: Struct, values: Mapping[str, Any], max_depth: int = MAX_DEPTH) -> None:
    """Adds an object to an existing Struct, which saves a copy. ValueError as for to_struct."""
    into.SetInParent()
    fields = into.fields
    for key, each in values.items():
        _fill(fields[_key(key)], each, max_depth)


def fill_value(into: Value, plain: Any) -> None:
    """Sets an existing Value. ValueError as for to_struct."""
    _fill(into, plain, MAX_DEPTH)


def plain_from_request(struct: Struct, root: str) -> dict[str, Any]:
    """Like to_plain, for a caller's Struct: refuses NaN and infinities, which protobuf has and JSON has not.

    Args:
        struct: from a request.
        root: its path in the request, such as "arguments".

    Raises:
        InvalidRequest: for such a number, with its path.
    """
    for key, each in struct.fields.items():
        path = _not_finite(each)
        if path is not None:
            raise InvalidRequest.of(_path(root, (key, *path)), "must be a finite number.")
    return to_plain(struct)


def plain_from_json(text: str, root: str) -> dict[str, Any]:
    """The object in a caller's JSON text, in which whole numbers of any size are exact.

    Args:
        text: from a request.
        root: its path in the request, such as "arguments_json".

    Raises:
        InvalidRequest: it is no JSON object, or has values that a Struct cannot hold.
    """
    try:
        plain = json.loads(text)
        if isinstance(plain, dict):
            to_struct(plain)
            return plain
        reason = f"it is a {type(plain).__name__}"
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    raise InvalidRequest.of(root, f"must be a JSON object: {reason}."[:MAX_PATH_LENGTH])


def exact_json(values: Mapping[str, Any], struct: Struct) -> str:
    """The object as JSON text if its Struct rounds some of its numbers; else empty."""
    plain = _with_json_types(values)
    return canonical_json(plain).decode() if to_plain(struct) != plain else ""


def is_finite(struct: Struct) -> bool:
    """Whether JSON has every number in it: no NaN, no infinity."""
    return all(_not_finite(each) is None for each in struct.fields.values())


def path_too_deep(struct: Struct, root: str) -> str | None:
    """The path of the first value that is more than MAX_DEPTH levels deep, if there is one.

    Args:
        struct: from a caller, a tool or a model.
        root: its own path, such as "event.data".
    """
    for key, each in struct.fields.items():
        path = _too_deep(each, MAX_DEPTH)
        if path is not None:
            return _path(root, (key, *path))
    return None


def _with_json_types(value: Any) -> Any:
    """The value with dict and list in place of other mappings and tuples."""
    if isinstance(value, Mapping):
        return {key: _with_json_types(each) for key, each in value.items()}
    return [_with_json_types(each) for each in value] if isinstance(value, list | tuple) else value


def _path(root: str, parts: tuple[str | int, ...]) -> str:
    full_path = root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return full_path[:MAX_PATH_LENGTH]


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < EXACT else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return to_plain(value.struct_value)
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    return None


def _not_finite(value: Value) -> tuple[str | int, ...] | None:
    """The path to the first number inside that is not finite; empty for the value itself."""
    if value.WhichOneof("kind") == "number_value":
        return None if math.isfinite(value.number_value) else ()
    for key, each in _inside(value):
        path = _not_finite(each)
        if path is not None:
            return (key, *path)
    return None


def _too_deep(value: Value, max_depth: int) -> tuple[str | int, ...] | None:
    """The path to the first value inside that _fill would refuse; empty for the value itself."""
    if not max_depth:
        return ()
    for key, each in _inside(value):
        path = _too_deep(each, max_depth - 1)
        if path is not None:
            return (key, *path)
    return None


def _inside(value: Value) -> Iterable[tuple[str | int, Value]]:
    """What an object or a list contains, with keys or indexes."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return value.struct_value.fields.items()
    return enumerate(value.list_value.values) if kind == "list_value" else ()


def _fill(into: Value, plain: Any, max_depth: int) -> None:
    if not max_depth:
        raise ValueError("the value has too many levels")
    if isinstance(plain, str):
        into.string_value = plain
    elif plain is None:
        into.null_value = NULL_VALUE
    # bool before numbers: it is an int to Python.
    elif isinstance(plain, bool):
        into.bool_value = plain
    elif isinstance(plain, int | float):
        into.number_value = _number(plain)
    elif isinstance(plain, Mapping):
        fill_struct(into.struct_value, plain, max_depth - 1)
    elif isinstance(plain, list | tuple):
        _fill_list(into.list_value, plain, max_depth - 1)
    else:
        raise ValueError(f"JSON has no {type(plain).__name__}")


def _fill_list(into: ListValue, values: list[Any] | tuple[Any, ...], max_depth: int) -> None:
    into.SetInParent()
    for each in values:
        _fill(into.values.add(), each, max_depth)


def _number(plain: float) -> float:
    try:
        number = float(plain)
    except OverflowError:
        raise ValueError("the number is too large for a double") from None
    if not math.isfinite(number):
        raise ValueError("JSON has no NaN and no infinity")
    return number


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"JSON has no key of type {type(key).__name__}")  # noqa: TRY004 - the same
    return key
