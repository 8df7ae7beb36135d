"""What most expressions are, read from the scope itself: `slots.date`, `slots.party_size > 8`, several by &&.

CEL takes about ten times as long to evaluate one, most of it to have the scope in its own form. The meaning
stays CEL's: what is not there, or is of two types, is left to it, and a test holds both against each other.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from clawdbot_dialogue.core.flow.cel.errors import SCOPES

Scope: TypeAlias = Mapping[str, object]
Reading: TypeAlias = Callable[[Scope], object]
"""The value that an expression has in a scope; None where CEL is to say."""

_PATH = rf"(?:{'|'.join(SCOPES)})(?:\.[A-Za-z_]\w*)+"
_LITERAL = r"-?\d{1,15}(?:\.\d{1,15})?|'[^'\\&\n]*'|\"[^\"\\&\n]*\"|true|false"
_COMPARISON = re.compile(rf"({_PATH})(?: *(==|!=|<=|>=|<|>) *({_PATH}|{_LITERAL}))?", re.ASCII)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_ALIKE = frozenset((str, bool, int, float))
"""The types of Python that behave as CEL's; integers do while they are no larger than a Struct carries."""


def nothing(_: Scope) -> object:
    """Of an expression that only CEL can tell the value of."""
    return None


def reading(text: str) -> Reading:
    """How an expression is read; `nothing` for one that says more than paths, comparisons and &&."""
    parts = [_COMPARISON.fullmatch(part.strip()) for part in text.split("&&")]
    readings = [_compared(found) for found in parts if found]
    if len(readings) < len(parts):
        return nothing
    return readings[0] if len(readings) == 1 else _all(readings)


def _compared(found: re.Match[str]) -> Reading:
    one = _term(found[1])
    if not found[2]:
        return one
    holds, other = _OPERATORS[found[2]], _term(found[3])

    def compared(scope: Scope) -> object:
        left, right = one(scope), other(scope)
        return holds(left, right) if left is not None and type(left) is type(right) else None

    return compared


def _all(readings: Sequence[Reading]) -> Reading:
    def all_of(scope: Scope) -> object:
        held = [read(scope) for read in readings]
        return all(held) if all(type(each) is bool for each in held) else None

    return all_of


def _term(text: str) -> Reading:
    if text.partition(".")[0] in SCOPES:
        return _walked(text.split("."))
    literal = _value(text)
    return lambda _: literal


def _walked(path: Sequence[str]) -> Reading:
    def walked(scope: Scope) -> object:
        value: object = scope
        for key in path:
            if type(value) is not dict:
                return None
            value = value.get(key)
        return value if type(value) in _ALIKE else None

    return walked


def _value(literal: str) -> object:
    if literal in ("true", "false"):
        return literal == "true"
    if literal[0] in "'\"":
        return literal[1:-1]
    if "." in literal:
        return float(literal)
    return int(literal)
