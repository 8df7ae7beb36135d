"""Evaluates the common expressions without CEL.

They are `slots.date`, `slots.party_size > 8`, several joined by &&, and `has(slots.x) ? slots.x : 'y'`.
CEL takes about ten times as long, most of it to convert the scope. The semantics stay CEL's: a missing value,
or two operands of different types, is left to CEL, and a test compares the two.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from clawdbot_dialogue.core.flow.cel.errors import SCOPES

Scope: TypeAlias = Mapping[str, object]
FastPath: TypeAlias = Callable[[Scope], object]
"""The value of an expression in a scope; None if CEL has to evaluate it."""

_PATH = rf"(?:{'|'.join(SCOPES)})(?:\.[A-Za-z_]\w*)+"
_LITERAL = r"-?\d{1,15}(?:\.\d{1,15})?|'[^'\\&\n]*'|\"[^\"\\&\n]*\"|true|false"
_COMPARISON = re.compile(rf"({_PATH})(?: *(==|!=|<=|>=|<|>) *({_PATH}|{_LITERAL}))?", re.ASCII)
_DEFAULT = re.compile(rf"has\(({_PATH})\) *\? *({_PATH}|{_LITERAL}) *: *({_PATH}|{_LITERAL})", re.ASCII)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_SAME_AS_CEL = frozenset((str, bool, int, float))
"""Python types that compare as CEL's do; integers do up to the largest that a Struct carries."""


def no_fast_path(_: Scope) -> object:
    """For an expression that only CEL can evaluate."""
    return None


def fast_path_for(text: str) -> FastPath:
    """The fast path of an expression; `no_fast_path` if only CEL can evaluate it."""
    with_default = _DEFAULT.fullmatch(text.strip())
    if with_default:
        return _conditional(with_default)
    matches = [_COMPARISON.fullmatch(part.strip()) for part in text.split("&&")]
    terms = [_comparison(found) for found in matches if found]
    if len(terms) < len(matches):
        return no_fast_path
    return terms[0] if len(terms) == 1 else _conjunction(terms)


def _comparison(found: re.Match[str]) -> FastPath:
    one = _operand(found[1])
    if not found[2]:
        return one
    compare, other = _OPERATORS[found[2]], _operand(found[3])

    def compared(scope: Scope) -> object:
        left, right = one(scope), other(scope)
        return compare(left, right) if left is not None and type(left) is type(right) else None

    return compared


def _conjunction(terms: Sequence[FastPath]) -> FastPath:
    def all_of(scope: Scope) -> object:
        values = [term(scope) for term in terms]
        return all(values) if all(type(each) is bool for each in values) else None

    return all_of


def _conditional(found: re.Match[str]) -> FastPath:
    *path, key = found[1].split(".")
    holder = _value_lookup(path)
    one, other = _operand(found[2]), _operand(found[3])

    def chosen(scope: Scope) -> object:
        values = holder(scope)
        if type(values) is not dict:
            return None
        return one(scope) if key in values else other(scope)

    return chosen


def _operand(text: str) -> FastPath:
    if text.partition(".")[0] in SCOPES:
        return _path_lookup(text.split("."))
    literal = _parse_literal(text)
    return lambda _: literal


def _path_lookup(path: Sequence[str]) -> FastPath:
    find = _value_lookup(path)

    def look_up(scope: Scope) -> object:
        value = find(scope)
        return value if type(value) in _SAME_AS_CEL else None

    return look_up


def _value_lookup(path: Sequence[str]) -> FastPath:
    def look_up(scope: Scope) -> object:
        value: object = scope
        for key in path:
            if type(value) is not dict:
                return None
            value = value.get(key)
        return value

    return look_up


def _parse_literal(literal: str) -> object:
    if literal in ("true", "false"):
        return literal == "true"
    if literal[0] in "'\"":
        return literal[1:-1]
    if "." in literal:
        return float(literal)
    return int(literal)
