"""Validates a document against the source model; reports each error with its position and what was expected.

What is invalid is cut out and the rest is kept, so that one run finds mistakes of every kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from clawdbot_servicekit.validation_words import explain
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from clawdbot_dialogue.core.flow.diagnostics import START, DiagnosticCollector, suggest
from clawdbot_dialogue.core.flow.parse.source_model import (
    ActionSource,
    CallSource,
    FlowSource,
    GenerateSource,
    InterruptsSource,
    NoMatchSource,
    RegionSource,
    SlotSource,
    StateSource,
    SubflowSource,
    TimeoutSource,
    TransitionSource,
    UnderstandingSource,
)
from clawdbot_dialogue.core.flow.parse.text_forms import FORMS
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path

Sections: TypeAlias = tuple[tuple[tuple[str, ...], type[BaseModel]], ...]
"""Where the keys of each model are: a path in the document ("*" matches any key) and the model."""

_SECTIONS: Sections = (
    ((), FlowSource),
    (("interrupts",), InterruptsSource),
    (("understanding",), UnderstandingSource),
    (("slots", "*"), SlotSource),
    (("states", "*"), StateSource),
    (("states", "*", "next", "*"), TransitionSource),
    (("states", "*", "call"), CallSource),
    (("states", "*", "generate"), GenerateSource),
    (("states", "*", "no_match"), NoMatchSource),
    (("states", "*", "timeout"), TimeoutSource),
    (("states", "*", "subflow"), SubflowSource),
    (("states", "*", "entry", "*"), ActionSource),
    (("states", "*", "exit", "*"), ActionSource),
    (("states", "*", "parallel", "*"), RegionSource),
)
"""A child state has the keys of a state at the top."""
_EXPECTED_TYPES: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_FALLBACKS = {"flow": "unnamed", "version": 1}
"""Values for keys without which nothing else could be checked; their errors are reported already."""
_MAX_ROUNDS = 50
"""Cutting out one error can cause another one level higher; a flow is about six levels deep."""


def validate(document: Document, diagnostics: DiagnosticCollector) -> tuple[FlowSource, Document] | None:
    """The source model of a document, and the document, both without their invalid parts.

    None if the document is not a mapping, or nothing valid remains.
    """
    if not isinstance(document.data, dict):
        hint = "Begin it with `flow:`, `version:` and `states:`."
        diagnostics.error("not-a-flow", "A flow file must be a mapping of keys.", START, hint)
        return None
    try:
        return FlowSource.model_validate(document.data), document
    except ValidationError as error:
        errors = report_errors(error, document, _SECTIONS, diagnostics)
    return _validate_remainder(document, errors)


def report_errors(
    error: ValidationError, document: Document, sections: Sections, diagnostics: DiagnosticCollector
) -> list[ErrorDetails]:
    """Reports the errors of a document, and returns them.

    Args:
        error: Pydantic's error.
        document: The document that was validated.
        sections: Where the keys of each model are, for hints.
        diagnostics: Receives one diagnostic for each error.
    """
    errors = error.errors()
    for each in errors:
        _report_error(each, document, sections, diagnostics)
    return errors


def _validate_remainder(document: Document, errors: list[ErrorDetails]) -> tuple[FlowSource, Document] | None:
    for _ in range(_MAX_ROUNDS):
        document = document.without({_document_path(each["loc"], document.data) for each in errors} - {()})
        data: Any = document.data
        try:
            return FlowSource.model_validate(_FALLBACKS | data), document
        except ValidationError as error:
            errors = error.errors()
    return None


def _document_path(loc: tuple[str | int, ...], data: Any) -> Path:
    """The part of pydantic's location that is in the document; for a missing key, its parent.

    Pydantic appends the branch of a union that it tried.
    """
    path: Path = ()
    for key in loc:
        if isinstance(key, int) and not isinstance(data, list):
            continue  # a single value may be written instead of a list of it
        in_mapping = isinstance(data, dict) and key in data
        if not in_mapping and not (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            break
        data = data[key]
        path = (*path, key)
    return path


def _report_error(
    error: ErrorDetails, document: Document, sections: Sections, diagnostics: DiagnosticCollector
) -> None:
    kind, loc = error["type"], error["loc"]
    path = _document_path(loc, document.data)
    if kind == "extra_forbidden":
        section = _section(path[:-1], sections)
        known = [field.alias or name for name, field in section.model_fields.items()] if section else []
        message = f'The key "{path[-1]}" is not known here.'
        diagnostics.error("unknown-key", message, document.key_at(path), suggest(str(path[-1]), known))
    elif kind == "missing":
        mark = document.key_at(path) if path else START
        diagnostics.error("missing-key", f'The key "{loc[-1]}" is missing here.', mark, "Add it.")
    elif loc and loc[-1] == "[key]":
        hint = "Use letters, digits and underscores, beginning with a letter."
        message = f'"{loc[-2]}" is not a valid name.'
        diagnostics.error("bad-name", message, document.key_at((*path[: len(loc) - 2], loc[-2])), hint)
    else:
        code = "wrong-type" if kind.endswith("_type") else "bad-value"
        # A location that ends in a type's name is one branch of a union, and only bounds are unions.
        is_union = bool(loc) and isinstance(loc[-1], str) and path[-1:] != loc[-1:]
        message = f'"{path[-1]}" must be a number or text.' if is_union else _message(error, path)
        diagnostics.error(code, message, document.at(path), _hint(error))


def _section(path: Path, sections: Sections) -> type[BaseModel] | None:
    path = _top_level_equivalent(path)
    for pattern, model in sections:
        if len(pattern) == len(path) and all(
            want in ("*", have) for want, have in zip(pattern, path, strict=True)
        ):
            return model
    return None


def _top_level_equivalent(path: Path) -> Path:
    """A path in a child state, or in a part of a slot, as if that were at the top."""
    if path[:1] == ("states",):
        if path[2:3] == ("states",) and len(path) > len(("states", "outer", "states")):
            return _top_level_equivalent(path[2:])
        if path[2:3] == ("parallel",) and path[4:5] == ("states",) and path[5:]:
            return _top_level_equivalent(path[4:])
    if path[:1] == ("slots",):
        if path[2:3] == ("fields",) and path[3:]:
            return _top_level_equivalent(("slots", *path[3:]))
        if path[2:3] == ("items",):
            return _top_level_equivalent(("slots", *path[2:]))
    return path


def _message(error: ErrorDetails, path: Path) -> str:
    name = next((str(key) for key in reversed(path) if isinstance(key, str)), "the file")
    if expected := _EXPECTED_TYPES.get(error["type"]):
        return f'"{name}" must be {expected}; this is {_type_name(error["input"])}.'
    match error["type"]:
        case "literal_error":
            expected = error["ctx"]["expected"].replace("True", "true")
            return f'"{name}" must be {expected}; this is {_quoted(error["input"])}.'
        case "string_pattern_mismatch" if name == "after":
            return f"{_quoted(error['input'])} is not a duration."
        case "string_pattern_mismatch":
            return f'{_quoted(error["input"])} is not a valid value for "{name}".'
        case _:
            return f'"{name}": {explain([error])}.'


def _hint(error: ErrorDetails) -> str:
    given = error["input"]
    if error["type"] in ("bool_type", "literal_error") and given in ("yes", "no", "on", "off"):
        return f"Write {'true' if given in ('yes', 'on') else 'false'}."
    if error["type"] == "literal_error" and isinstance(given, str):
        close = suggest(
            given, [each.strip("'") for each in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        )
        return close if close.startswith("Did") else ""
    if error["type"] == "string_pattern_mismatch":
        return FORMS.get(error["ctx"]["pattern"], "")
    if error["type"] == "string_type" and isinstance(given, int | float | bool):
        return "Put it in quotes."
    return ""


def _type_name(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    names: tuple[tuple[type, str], ...] = (
        (str, "text"),
        (int, "a whole number"),
        (float, "a number"),
        (list, "a list"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "a mapping")


def _quoted(value: object) -> str:
    if value is None or isinstance(value, list | dict):
        return _type_name(value)
    text = "true" if value is True else "false" if value is False else str(value)
    return f'"{text[:60]}…"' if len(text) > 60 else f'"{text}"'
