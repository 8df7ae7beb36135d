"""Whether one guard implies another, as far as their texts show it with certainty.

A guard is read in disjunctive form: alternatives (`||`) of conditions (`&&`). Conditions are compared as
text, except for bounds of numbers: `> 10` implies `> 8`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TypeAlias

Conditions: TypeAlias = frozenset[str]
"""Texts that must all be true; empty: always true."""
Alternatives: TypeAlias = frozenset[Conditions]
"""One of them must be true; empty: never true."""

_LITERAL = re.compile(r"""'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)\"""")
_SPACE_AROUND_PUNCTUATION = re.compile(r"\s*([()\[\]{},<>=!&|+*/%:?-])\s*")
_BOUND = re.compile(r"(slots\.\w+)(>=|<=|>|<)(-?\d{1,15}(?:\.\d{1,15})?)")


_MAX_TERMS = 6
"""Alternatives, and conditions of each; a guard with more is not taken apart."""


@functools.lru_cache(maxsize=1024)
def alternatives(guard: str) -> Alternatives:
    """A guard in disjunctive form."""
    text = _normalized(guard)
    # A conditional expression binds less tightly than ||, so its parts cannot be separated.
    parts = [text] if "?" in text else _split(text, "||")
    found = frozenset(
        frozenset(each for each in map(_without_outer_brackets, _split(part, "&&")) if each != "true")
        for part in parts
    )
    if max(len(found), *map(len, found)) > _MAX_TERMS:
        return frozenset([frozenset([text])])
    return frozenset(each for each in found if "false" not in each)


def is_always_true(guard: str) -> bool:
    """Whether a guard is true whatever the values are."""
    return "true" in guard and frozenset() in alternatives(guard)


def implies(one: Alternatives, other: Alternatives) -> bool:
    """Whether the other one is certainly true whenever the first one is."""
    return all(any(_implies_all(each, required) for required in other) for each in one)


def _implies_all(given: Conditions, required: Conditions) -> bool:
    return all(each in given or any(_implies_bound(known, each) for known in given) for each in required)


def _implies_bound(known: str, required: str) -> bool:
    """Whether a bound implies another one: `slots.n>10` implies `slots.n>8`."""
    one, other = _BOUND.fullmatch(known), _BOUND.fullmatch(required)
    if not one or not other or one[1] != other[1] or one[2][0] != other[2][0]:
        return False
    known_limit, required_limit = float(one[3]), float(other[3])
    stricter = known_limit > required_limit if one[2][0] == ">" else known_limit < required_limit
    return stricter or (known_limit == required_limit and (len(one[2]) == 1 or len(other[2]) == 2))


def _normalized(guard: str) -> str:
    """The guard with string literals encoded and needless space removed, so that it can be split safely."""
    masked = _LITERAL.sub(lambda found: f"§{(found[1] or found[2] or '').encode().hex()}", guard)
    return _without_outer_brackets(_SPACE_AROUND_PUNCTUATION.sub(r"\1", " ".join(masked.split())))


def _split(text: str, operator: str) -> list[str]:
    """The operands of an operator outside of all brackets."""
    if operator not in text:
        return [text]
    parts, last = [], 0
    for at in _top_level_positions(text):
        if text.startswith(operator, at) and at >= last:
            parts.append(text[last:at])
            last = at + len(operator)
    return [*parts, text[last:]]


def _top_level_positions(text: str) -> Iterator[int]:
    """The positions outside of all brackets."""
    depth = 0
    for at, char in enumerate(text):
        depth -= char in ")]}"
        if depth == 0:
            yield at
        depth += char in "([{"


def _without_outer_brackets(text: str) -> str:
    """The text without brackets around all of it."""
    while (
        text.startswith("(") and text.endswith(")") and list(_top_level_positions(text)) == [0, len(text) - 1]
    ):
        text = text[1:-1]
    return text
