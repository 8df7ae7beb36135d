"""Texts with placeholders: "Shall I book {party_size} seats on {date}?".

A placeholder names a slot, or a path of keys and list positions in `slots`, `result`, `event` or `turn`. It
computes nothing and reaches no attribute, so a template is safe whatever it contains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.cel.errors import SCOPES
from clawdbot_dialogue.core.flow.cel.types import CelType, Structure, part_type
from clawdbot_dialogue.core.flow.diagnostics import suggest

MAX_VALUE_LENGTH = 2000
"""Characters of a value that are put into a text: a tool must not flood a reply."""


class TemplateError(ValueError):
    """A text that is not a valid template; `offset` is the index of the character that is wrong."""

    def __init__(self, code: str, message: str, hint: str, offset: int) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Where a value is inserted."""

    scope: str
    """One of SCOPES."""
    path: tuple[str, ...]
    text: str
    """As written, without the braces."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders."""

    parts: tuple[str | Placeholder, ...]
    literal: str = ""
    """The whole text if it has no placeholders."""

    def render(
        self,
        scope: Mapping[str, object],
        show: Callable[[Placeholder, object], str],
        missing: Callable[[Placeholder], str],
    ) -> str:
        """The text with each placeholder replaced.

        Args:
            scope: The values of `slots`, `result`, `event` and `turn`.
            show: Formats a value.
            missing: The text for a placeholder that has no value.
        """
        rendered: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                rendered.append(part)
            else:
                value = _look_up(scope.get(part.scope), part.path)
                rendered.append(missing(part) if value is None else show(part, value)[:MAX_VALUE_LENGTH])
        return "".join(rendered)

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The placeholders, in order."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))


def _look_up(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 7 and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PLACEHOLDER = re.compile(r"\w+(?:\.\w+)*")


def parse_template(text: str, slots: Mapping[str, CelType]) -> Template:
    """Compiles a text.

    Args:
        text: `{slot}` and `{result.key.0}` are placeholders; `{{` and `}}` are literal braces.
        slots: The declared slots and their types.

    Raises:
        TemplateError: with code template-syntax or undeclared-slot.
    """
    parts: list[str | Placeholder] = []
    literal = ""
    last = 0
    for token in _TOKEN.finditer(text):
        literal += text[last : token.start()]
        last = token.end()
        if token[0] in ("{{", "}}"):
            literal += token[0][0]
            continue
        if token[1] is None:
            message = f"A single {token[0]} is not allowed here."
            hint = f"Write {token[0] * 2} for a literal brace."
            raise TemplateError("template-syntax", message, hint, token.start())
        inner = token[1].strip()
        parts += [literal, _placeholder(inner, slots, token.start(1) + token[1].find(inner))]
        literal = ""
    parts.append(literal + text[last:])
    whole = tuple(part for part in parts if part != "")
    match whole:
        case (str(literal),):
            return Template(whole, literal)
        case _:
            return Template(whole)


def _placeholder(text: str, slots: Mapping[str, CelType], offset: int) -> Placeholder:
    if not _PLACEHOLDER.fullmatch(text):
        hint = (
            "Between braces, write a slot's name or a path such as result.ref; {{ and }} are literal braces."
        )
        raise TemplateError("template-syntax", f'"{text}" does not name a value.', hint, offset)
    first, *rest = text.split(".")
    if first in SCOPES and (first != "slots" or rest) and first not in slots:
        scope, path = first, tuple(rest)
    else:
        scope, path = "slots", (first, *rest)
    if scope == "slots" and path[0] not in slots:
        raise TemplateError(
            "undeclared-slot", f'There is no slot "{path[0]}".', suggest(path[0], slots), offset
        )
    if scope == "slots":
        _check_parts(path, slots, offset + len(text) - len(".".join(path)))
    return Placeholder(scope, path, text)


def _check_parts(path: tuple[str, ...], slots: Mapping[str, CelType], offset: int) -> None:
    """Follows a path into a slot; its first key is at the offset."""
    kind = slots[path[0]]
    for at, key in enumerate(path[1:], 1):
        inner = part_type(kind, key)
        if inner is None:
            whole = ".".join(path[:at])
            hint = suggest(key, kind.parts) if isinstance(kind, Structure) else ""
            message = f'"{whole}" has no part "{key}".'
            raise TemplateError("undeclared-slot", message, hint, offset + len(whole) + 1)
        kind = inner


def format_json(value: object) -> str:
    """A value of unknown type as text: a string as it is, a list with commas, a mapping as JSON."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(format_json(each) for each in value)
    return json.dumps(value, ensure_ascii=False)
