"""Turns pydantic's errors about a configuration into one sentence per key, with its origin and a hint.

Messages never contain a value: it may be a secret.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from clawdbot_servicekit.settings.document import Document
from clawdbot_servicekit.settings.environment import PREFIX, path_of, variable_of
from clawdbot_servicekit.settings.values import seconds
from clawdbot_servicekit.suggestions import nearest
from clawdbot_servicekit.validation_words import KeyPath, dotted, errors_by_path, explain, sentence


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
    return [
        _message(model, document, path, errors, foreign_keys)
        for path, errors in errors_by_path(document.values, error).items()
    ]


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
    text = explain(errors, duration=_is_duration(model, path))
    if from_environment and "a list" in text:
        text += ' as JSON: ["one", "two"]'
    return f"{start}{dotted(path)}: {sentence(text)}"


def _is_duration(model: type[BaseModel], path: KeyPath) -> bool:
    fields = [each.model_fields.get(str(path[-1])) for each in _models_at(model, path[:-1])] if path else []
    return any(_reads_duration([field.annotation, *field.metadata]) for field in fields if field is not None)


def _reads_duration(parts: Sequence[Any]) -> bool:
    """Whether a validator among the annotations, or inside them, is the one of durations."""
    return any(getattr(each, "func", None) is seconds or _reads_duration(get_args(each)) for each in parts)


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
