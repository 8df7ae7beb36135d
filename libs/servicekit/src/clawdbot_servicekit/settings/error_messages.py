"""Turns pydantic's errors about a configuration into one sentence per key, with its origin and a hint.

Messages never contain a value: it may be a secret.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from clawdbot_servicekit.settings.document import Document, KeyPath
from clawdbot_servicekit.settings.environment import PREFIX, path_of, variable_of
from clawdbot_servicekit.suggestions import nearest

EXPECTED: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a section with keys of its own",
    "model": "a section with keys of its own",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text like {pattern}",
    "too_short": "at least {min_length} entries",
    "finite_number": "a finite number",
}
"""Type of a pydantic error, or its stem before _type or _parsing → what was expected."""


def error_messages(
    model: type[BaseModel], document: Document, error: ValidationError, foreign_keys: Sequence[str]
) -> list[str]:
    """One sentence for each key that is wrong.

    Args:
        model: the settings class.
        document: what it was made from.
        error: what pydantic found.
        foreign_keys: top-level keys of other services, which are correct although the model lacks them.
    """
    found: dict[KeyPath, list[ErrorDetails]] = {}
    for each in error.errors(include_url=False, include_input=False):
        found.setdefault(_key_path(document.values, each), []).append(each)
    # A value that fits no member of a union yields an error for each member. The deepest ones are about the
    # member that the author meant.
    deepest = {
        path: errors
        for path, errors in found.items()
        if not any(len(other) > len(path) and other[: len(path)] == path for other in found)
        or _is_unknown_key(errors)
    }
    return [_message(model, document, path, errors, foreign_keys) for path, errors in deepest.items()]


def _is_unknown_key(errors: list[ErrorDetails]) -> bool:
    return all(each["type"] == "extra_forbidden" for each in errors)


def _message(
    model: type[BaseModel],
    document: Document,
    path: KeyPath,
    errors: list[ErrorDetails],
    foreign_keys: Sequence[str],
) -> str:
    origin = document.origin(path)
    from_environment = origin.startswith(PREFIX)
    start = f"{origin}: " if origin else ""
    if any(each["type"] == "extra_forbidden" for each in errors):
        right = nearest_key(model, path, foreign_keys)
        if right and from_environment:
            hint = variable_of((*right, *path_of(origin)[len(path) :]))
        else:
            hint = dotted(right) if right else ""
        return f"{start}unknown key {dotted(path)}" + (f"; did you mean {hint}?" if hint else ".")
    if any(each["type"] == "missing" for each in errors):
        return f"{start}{dotted(path)} is missing."
    details = list(dict.fromkeys(_expectation(each) for each in errors))
    expected = [each.removeprefix("expected ") for each in details if each.startswith("expected ")]
    others = [each for each in details if not each.startswith("expected ")]
    text = "; ".join([*(["expected " + " or ".join(expected)] if expected else []), *others])
    if from_environment and "a list" in expected:
        text += ' as JSON: ["one", "two"]'
    return f"{start}{dotted(path)}: {text if text.endswith('?') else text.rstrip('.') + '.'}"


def _expectation(error: ErrorDetails) -> str:
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    stem = kind
    for ending in ("_type", "_parsing", "_attributes_type", "_from_float"):
        stem = stem.removesuffix(ending)
    expected = EXPECTED.get(kind) or EXPECTED.get(stem) or EXPECTED.get(stem.removesuffix("_parsing"))
    return f"expected {expected.format(**context)}" if expected else error["msg"]


def _key_path(values: Mapping[str, Any], error: ErrorDetails) -> KeyPath:
    """Where in the document an error is: pydantic's location without its names for members of a union."""
    path: list[str | int] = []
    inner: Any = values
    location = list(error["loc"])
    key = error.get("ctx", {}).get("key")
    if key is not None and error["type"] == "secret_file":
        location.append(key)
    for index, part in enumerate(location):
        if (isinstance(inner, dict) and part in inner) or (isinstance(inner, list) and isinstance(part, int)):
            path.append(part)
            inner = inner[part]  # type: ignore[index]
        elif error["type"] == "missing" and index == len(location) - 1:
            path.append(part)
    return tuple(path)


def dotted(path: KeyPath) -> str:
    """The usual notation: auth.keys[0].tenant."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the configuration"


def nearest_key(model: type[BaseModel], path: KeyPath, foreign_keys: Sequence[str] = ()) -> KeyPath | None:
    """The correct key that was most likely meant by the wrong one at the path."""
    parent, wrong = path[:-1], str(path[-1])
    known = [name for each in _models_at(model, parent) for name in _keys(each)]
    if not parent:
        known += [name for name in foreign_keys if name not in known]
    if close := nearest(wrong.lower(), known):
        return (*parent, close)
    for section, inside in model.model_fields.items():
        if any(wrong in each.model_fields for each in _models_in(inside.annotation)):
            return (section, wrong)
    return None


def _keys(model: type[BaseModel]) -> Iterator[str]:
    yield from model.model_fields
    secrets = getattr(model, "secret_fields", tuple)
    yield from (f"{name}_file" for name in secrets())


def _models_at(model: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    """The models that are possible at the path."""
    annotations: list[Any] = [model]
    for part in path:
        annotations = [inner for each in annotations for inner in _inside(each, part)]
    return [found for each in annotations for found in _models_in(each)]


def _inside(annotation: Any, part: str | int) -> Iterator[Any]:
    for each in _members(annotation):
        if isinstance(each, type) and issubclass(each, BaseModel):
            if part in each.model_fields:
                yield each.model_fields[str(part)].annotation
        elif isinstance(part, int) and get_origin(each) in (list, tuple, set, frozenset):
            yield from (argument for argument in get_args(each) if argument is not Ellipsis)
        elif get_origin(each) in (dict, Mapping):
            yield from get_args(each)[1:]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    return [each for each in _members(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]


def _members(annotation: Any) -> Iterator[Any]:
    """The annotation, or each member of a union, without Annotated."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _members(each)
    else:
        yield annotation
