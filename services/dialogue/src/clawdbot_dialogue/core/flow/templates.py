"""Texts with gaps: "Shall I book {party_size} seats on {date}?".

A gap names a slot, or walks into `slots`, `result`, `event` or `turn` by keys and list positions. It computes
nothing and reaches no attribute, so a template cannot do harm whatever stands in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.cel.errors import SCOPES
from clawdbot_dialogue.core.flow.cel.types import CelType, Structure, part_of
from clawdbot_dialogue.core.flow.diagnostics import nearest

LONGEST_SHOWN = 2000
"""Characters that a value from a tool may bring into a text."""


class TemplateFault(ValueError):
    """A text that is no template; `offset` counts its characters from 0."""

    def __init__(self, code: str, message: str, hint: str, offset: int) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a value goes."""

    scope: str
    """One of SCOPES."""
    path: tuple[str, ...]
    text: str
    """As written, without the braces."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with gaps."""

    parts: tuple[str | Gap, ...]
    plain: str = ""
    """The whole text where it has no gaps."""

    def fill(
        self, scope: Mapping[str, object], show: Callable[[Gap, object], str], missing: Callable[[Gap], str]
    ) -> str:
        """The text with each gap filled.

        Args:
            scope: What `slots`, `result`, `event` and `turn` are.
            show: Gives a value's words.
            missing: Gives the words for a gap that has no value.
        """
        words: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                words.append(part)
            else:
                value = _walk(scope.get(part.scope), part.path)
                words.append(missing(part) if value is None else show(part, value)[:LONGEST_SHOWN])
        return "".join(words)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps, in order."""
        return tuple(part for part in self.parts if isinstance(part, Gap))


def _walk(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 7 and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_GAP = re.compile(r"\w+(?:\.\w+)*")


def parse_template(text: str, slots: Mapping[str, CelType]) -> Template:
    """Compiles a text.

    Args:
        text: `{slot}` and `{result.key.0}` are gaps; `{{` and `}}` stand for braces.
        slots: The declared slots and their types.

    Raises:
        TemplateFault: with code template-syntax or undeclared-slot.
    """
    parts: list[str | Gap] = []
    plain = ""
    last = 0
    for token in _TOKEN.finditer(text):
        plain += text[last : token.start()]
        last = token.end()
        if token[0] in ("{{", "}}"):
            plain += token[0][0]
            continue
        if token[1] is None:
            message = f"A single {token[0]} does not belong here."
            raise TemplateFault(
                "template-syntax", message, f"Write {token[0] * 2} for a brace.", token.start()
            )
        within = token[1].strip()
        parts += [plain, _gap(within, slots, token.start(1) + token[1].find(within))]
        plain = ""
    parts.append(plain + text[last:])
    whole = tuple(part for part in parts if part != "")
    match whole:
        case (str(plain),):
            return Template(whole, plain)
        case _:
            return Template(whole)


def _gap(text: str, slots: Mapping[str, CelType], offset: int) -> Gap:
    if not _GAP.fullmatch(text):
        hint = "A gap holds a slot's name, or a path such as result.ref; {{ and }} stand for braces."
        raise TemplateFault("template-syntax", f'"{text}" does not name a value.', hint, offset)
    first, *rest = text.split(".")
    if first in SCOPES and (first != "slots" or rest) and first not in slots:
        scope, path = first, tuple(rest)
    else:
        scope, path = "slots", (first, *rest)
    if scope == "slots" and path[0] not in slots:
        raise TemplateFault(
            "undeclared-slot", f'There is no slot "{path[0]}".', nearest(path[0], slots), offset
        )
    if scope == "slots":
        _check_parts(path, slots, offset + len(text) - len(".".join(path)))
    return Gap(scope, path, text)


def _check_parts(path: tuple[str, ...], slots: Mapping[str, CelType], offset: int) -> None:
    """Follows a path into a slot, whose first key stands at the offset."""
    kind = slots[path[0]]
    for at, key in enumerate(path[1:], 1):
        inner = part_of(kind, key)
        if inner is None:
            whole = ".".join(path[:at])
            hint = nearest(key, kind.parts) if isinstance(kind, Structure) else ""
            message = f'"{whole}" has no part "{key}".'
            raise TemplateFault("undeclared-slot", message, hint, offset + len(whole) + 1)
        kind = inner


def show_json(value: object) -> str:
    """A value's words where no type says better: text as it is, a list with commas, a mapping as JSON."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(show_json(each) for each in value)
    return json.dumps(value, ensure_ascii=False)
