"""What is wrong with a configuration, one sentence for each key, with its place and the nearest right name.

Sentences never show a value: it may be a secret.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from clawdbot_servicekit.settings.document import Document, Place
from clawdbot_servicekit.settings.environment import PREFIX, place_of, variable_of

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
"""Kind of pydantic error, or its stem before _type or _parsing → what was expected."""


def sentences(
    model: type[BaseModel], document: Document, error: ValidationError, others: Sequence[str]
) -> list[str]:
    """One sentence for each key that is wrong.

    Args:
        model: the settings class.
        document: what it was made from.
        error: what pydantic found.
        others: top-level keys that are right though the model lacks them.
    """
    found: dict[Place, list[ErrorDetails]] = {}
    for each in error.errors(include_url=False, include_input=False):
        found.setdefault(_place(document.values, each), []).append(each)
    # A value that fits no member of a union yields an error for each member; the deepest ones are about the
    # member that the person meant.
    deepest = {
        place: errors
        for place, errors in found.items()
        if not any(len(other) > len(place) and other[: len(place)] == place for other in found)
        or _unknown(errors)
    }
    return [_sentence(model, document, place, errors, others) for place, errors in deepest.items()]


def _unknown(errors: list[ErrorDetails]) -> bool:
    return all(each["type"] == "extra_forbidden" for each in errors)


def _sentence(
    model: type[BaseModel],
    document: Document,
    place: Place,
    errors: list[ErrorDetails],
    others: Sequence[str],
) -> str:
    origin = document.origin(place)
    from_environment = origin.startswith(PREFIX)
    start = f"{origin}: " if origin else ""
    if any(each["type"] == "extra_forbidden" for each in errors):
        right = nearest(model, place, others)
        if right and from_environment:
            hint = variable_of((*right, *place_of(origin)[len(place) :]))
        else:
            hint = dotted(right) if right else ""
        return f"{start}unknown key {dotted(place)}" + (f"; did you mean {hint}?" if hint else ".")
    if any(each["type"] == "missing" for each in errors):
        return f"{start}{dotted(place)} is missing."
    wanted = list(dict.fromkeys(_expectation(each) for each in errors))
    plain = [each.removeprefix("expected ") for each in wanted if each.startswith("expected ")]
    told = [each for each in wanted if not each.startswith("expected ")]
    text = "; ".join([*(["expected " + " or ".join(plain)] if plain else []), *told])
    if from_environment and "a list" in plain:
        text += ' as JSON: ["one", "two"]'
    return f"{start}{dotted(place)}: {text.rstrip('.')}."


def _expectation(error: ErrorDetails) -> str:
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    stem = kind
    for ending in ("_type", "_parsing", "_attributes_type", "_from_float"):
        stem = stem.removesuffix(ending)
    wanted = EXPECTED.get(kind) or EXPECTED.get(stem) or EXPECTED.get(stem.removesuffix("_parsing"))
    return f"expected {wanted.format(**context)}" if wanted else error["msg"]


def _place(values: Mapping[str, Any], error: ErrorDetails) -> Place:
    """Where in the document an error belongs: pydantic's location less its names for members of a union."""
    place: list[str | int] = []
    inner: Any = values
    location = list(error["loc"])
    key = error.get("ctx", {}).get("key")
    if key is not None and error["type"] == "secret_file":
        location.append(key)
    for position, part in enumerate(location):
        if (isinstance(inner, dict) and part in inner) or (isinstance(inner, list) and isinstance(part, int)):
            place.append(part)
            inner = inner[part]  # type: ignore[index]
        elif error["type"] == "missing" and position == len(location) - 1:
            place.append(part)
    return tuple(place)


def dotted(place: Place) -> str:
    """As people write it: auth.keys[0].tenant."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the configuration"


def nearest(model: type[BaseModel], place: Place, others: Sequence[str] = ()) -> Place | None:
    """The right key that somebody most likely meant by the wrong one at the place."""
    parent, wrong = place[:-1], str(place[-1])
    known = [name for each in _models_at(model, parent) for name in _keys(each)]
    if not parent:
        known += [name for name in others if name not in known]
    close = difflib.get_close_matches(wrong.lower(), known, n=1, cutoff=0.6)
    if close:
        return (*parent, close[0])
    for section, inside in model.model_fields.items():
        if any(wrong in each.model_fields for each in _models_in(inside.annotation)):
            return (section, wrong)
    return None


def _keys(model: type[BaseModel]) -> Iterator[str]:
    yield from model.model_fields
    secrets = getattr(model, "secret_fields", tuple)
    yield from (f"{name}_file" for name in secrets())


def _models_at(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The models that may stand at the place."""
    here: list[Any] = [model]
    for part in place:
        inside = [inner for each in here for inner in _inside(each, part)]
        here = inside
    return [found for each in here for found in _models_in(each)]


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
    """The annotation, or each member of a union, bare of Annotated."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _members(each)
    else:
        yield annotation
