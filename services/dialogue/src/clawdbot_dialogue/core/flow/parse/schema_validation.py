"""Fits a document to the shape of a flow file, and says for every misfit where it is and what was expected.

What does not fit is cut out and the rest is kept, so that one run finds the mistakes of every kind at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from clawdbot_dialogue.core.flow.diagnostics import START, Findings, nearest
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
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path

Sections: TypeAlias = tuple[tuple[tuple[str, ...], type[BaseModel]], ...]
"""Where each model's keys stand: a path, "*" for any key, and the model."""

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
"""A state within another one has the keys of one at the top."""
_EXPECTED: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_STAND_INS = {"flow": "unnamed", "version": 1}
"""For keys without which nothing could be checked; that they are wrong has been told by then."""
_ROUNDS = 50
"""Cutting one misfit out can bring up another, a level higher; a flow is about six levels deep."""


def fit(document: Document, findings: Findings) -> tuple[FlowSource, Document] | None:
    """The document as a flow's source, and itself, both without what does not fit; None for no document."""
    if not isinstance(document.data, dict):
        hint = "It begins with `flow:`, `version:` and `states:`."
        findings.error("not-a-flow", "A flow file is a mapping of keys.", START, hint)
        return None
    try:
        return FlowSource.model_validate(document.data), document
    except ValidationError as error:
        misfits = tell(error, document, _SECTIONS, findings)
    return _salvage(document, misfits)


def tell(
    error: ValidationError, document: Document, sections: Sections, findings: Findings
) -> list[ErrorDetails]:
    """Tells `findings` what does not fit, and returns it.

    Args:
        error: Pydantic's finding.
        document: What it is about.
        sections: Where each model's keys stand, for hints.
        findings: Takes one diagnostic for each misfit.
    """
    misfits = error.errors()
    for misfit in misfits:
        _tell(misfit, document, sections, findings)
    return misfits


def _salvage(document: Document, misfits: list[ErrorDetails]) -> tuple[FlowSource, Document] | None:
    for _ in range(_ROUNDS):
        document = document.without({_inside(misfit["loc"], document.data) for misfit in misfits} - {()})
        data: Any = document.data
        try:
            return FlowSource.model_validate(_STAND_INS | data), document
        except ValidationError as error:
            misfits = error.errors()
    return None


def _inside(loc: tuple[str | int, ...], data: Any) -> Path:
    """The part of pydantic's location that is in the document: for a missing key, what misses it.

    Pydantic appends what branch of a union it tried.
    """
    path: Path = ()
    for key in loc:
        if isinstance(key, int) and not isinstance(data, list):
            continue  # a single value may stand for a list of it
        in_mapping = isinstance(data, dict) and key in data
        if not in_mapping and not (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            break
        data = data[key]
        path = (*path, key)
    return path


def _tell(misfit: ErrorDetails, document: Document, sections: Sections, findings: Findings) -> None:
    kind, loc = misfit["type"], misfit["loc"]
    path = _inside(loc, document.data)
    if kind == "extra_forbidden":
        section = _section(path[:-1], sections)
        known = [field.alias or name for name, field in section.model_fields.items()] if section else []
        message = f'The key "{path[-1]}" is not known here.'
        findings.error("unknown-key", message, document.key_at(path), nearest(str(path[-1]), known))
    elif kind == "missing":
        mark = document.key_at(path) if path else START
        findings.error("missing-key", f'The key "{loc[-1]}" is missing here.', mark, "Add it.")
    elif loc and loc[-1] == "[key]":
        hint = "Use letters, digits and _; begin with a letter."
        message = f'"{loc[-2]}" cannot be a name here.'
        findings.error("bad-name", message, document.key_at((*path[: len(loc) - 2], loc[-2])), hint)
    else:
        code = "wrong-type" if kind.endswith("_type") else "bad-value"
        # A location that ends in a type's name is one branch of a union, and only bounds are unions.
        union = bool(loc) and isinstance(loc[-1], str) and path[-1:] != loc[-1:]
        message = f'"{path[-1]}" should be a number or text.' if union else _sentence(misfit, path)
        findings.error(code, message, document.at(path), _hint(misfit))


def _section(path: Path, sections: Sections) -> type[BaseModel] | None:
    path = _innermost(path)
    for pattern, model in sections:
        if len(pattern) == len(path) and all(
            want in ("*", have) for want, have in zip(pattern, path, strict=True)
        ):
            return model
    return None


def _innermost(path: Path) -> Path:
    """A place in a state that others hold, or in a part of a slot, as if it stood at the top."""
    if path[:1] == ("states",):
        if path[2:3] == ("states",) and len(path) > len(("states", "outer", "states")):
            return _innermost(path[2:])
        if path[2:3] == ("parallel",) and path[4:5] == ("states",) and path[5:]:
            return _innermost(path[4:])
    if path[:1] == ("slots",):
        if path[2:3] == ("fields",) and path[3:]:
            return _innermost(("slots", *path[3:]))
        if path[2:3] == ("items",):
            return _innermost(("slots", *path[2:]))
    return path


def _sentence(misfit: ErrorDetails, path: Path) -> str:
    name = next((str(key) for key in reversed(path) if isinstance(key, str)), "the file")
    if expected := _EXPECTED.get(misfit["type"]):
        return f'"{name}" should be {expected}; this is {_kind(misfit["input"])}.'
    match misfit["type"]:
        case "literal_error":
            expected = misfit["ctx"]["expected"].replace("True", "true")
            return f'"{name}" should be {expected}; this is {_shown(misfit["input"])}.'
        case "string_pattern_mismatch" if name == "after":
            return f"{_shown(misfit['input'])} is not a duration."
        case "string_pattern_mismatch":
            return f'{_shown(misfit["input"])} does not fit "{name}".'
        case _:
            return f'"{name}": {misfit["msg"]}.'


def _hint(misfit: ErrorDetails) -> str:
    given = misfit["input"]
    if misfit["type"] in ("bool_type", "literal_error") and given in ("yes", "no", "on", "off"):
        return f"Write {'true' if given in ('yes', 'on') else 'false'}."
    if misfit["type"] == "literal_error" and isinstance(given, str):
        close = nearest(
            given, [each.strip("'") for each in misfit["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        )
        return close if close.startswith("Did") else ""
    if misfit["type"] == "string_pattern_mismatch" and misfit["loc"][-1] == "after":
        return "Write 30s, 10m, 2h or 1d."
    if misfit["type"] == "string_type" and isinstance(given, int | float | bool):
        return "Put it in quotes."
    return ""


def _kind(value: object) -> str:
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


def _shown(value: object) -> str:
    text = str(value)
    return f'"{text[:60]}…"' if len(text) > 60 else f'"{text}"'
