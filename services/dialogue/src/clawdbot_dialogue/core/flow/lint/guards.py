"""What one guard says of another, as far as that can be read off their texts with certainty.

A guard is taken for alternatives (`||`), each of conditions (`&&`). Everything below that is a text which
either is the same or is not, but for bounds of numbers: who is above 10 is above 8.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TypeAlias

Conditions: TypeAlias = frozenset[str]
"""Texts that must all hold; empty: always."""
Alternatives: TypeAlias = frozenset[Conditions]
"""One of them must hold; empty: never."""

_LITERAL = re.compile(r"""'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)\"""")
_TIGHT = re.compile(r"\s*([()\[\]{},<>=!&|+*/%:?-])\s*")
_BOUND = re.compile(r"(slots\.\w+)(>=|<=|>|<)(-?\d{1,15}(?:\.\d{1,15})?)")


_MOST_PARTS = 6
"""Alternatives, and conditions of one, that are compared; a guard with more is taken as a whole."""


@functools.lru_cache(maxsize=1024)
def alternatives(guard: str) -> Alternatives:
    """What a guard says."""
    text = _bare(guard)
    # A conditional expression binds weaker than ||, so that no part of it stands alone.
    parts = [text] if "?" in text else _split(text, "||")
    found = frozenset(
        frozenset(each for each in map(_unwrapped, _split(part, "&&")) if each != "true") for part in parts
    )
    if max(len(found), *map(len, found)) > _MOST_PARTS:
        return frozenset([frozenset([text])])
    return frozenset(each for each in found if "false" not in each)


def holds_always(guard: str) -> bool:
    """Whether it is true whatever there is."""
    return "true" in guard and frozenset() in alternatives(guard)


def implies(one: Alternatives, other: Alternatives) -> bool:
    """Whether the other certainly holds wherever the one does."""
    return all(any(_all_of(each, wanted) for wanted in other) for each in one)


def _all_of(given: Conditions, wanted: Conditions) -> bool:
    return all(each in given or any(_above(known, each) for known in given) for each in wanted)


def _above(known: str, wanted: str) -> bool:
    """Whether a bound is within another one."""
    one, other = _BOUND.fullmatch(known), _BOUND.fullmatch(wanted)
    if not one or not other or one[1] != other[1] or one[2][0] != other[2][0]:
        return False
    mine, theirs = float(one[3]), float(other[3])
    stricter = mine > theirs if one[2][0] == ">" else mine < theirs
    return stricter or (mine == theirs and (len(one[2]) == 1 or len(other[2]) == 2))


def _bare(guard: str) -> str:
    """The guard with its texts as names and without needless space, so that it can be cut up safely."""
    masked = _LITERAL.sub(lambda found: f"§{(found[1] or found[2] or '').encode().hex()}", guard)
    return _unwrapped(_TIGHT.sub(r"\1", " ".join(masked.split())))


def _split(text: str, operator: str) -> list[str]:
    """The parts between an operator that stands in no brackets."""
    if operator not in text:
        return [text]
    parts, last = [], 0
    for at in _outside(text):
        if text.startswith(operator, at) and at >= last:
            parts.append(text[last:at])
            last = at + len(operator)
    return [*parts, text[last:]]


def _outside(text: str) -> Iterator[int]:
    """The positions that are in no brackets."""
    depth = 0
    for at, each in enumerate(text):
        depth -= each in ")]}"
        if depth == 0:
            yield at
        depth += each in "([{"


def _unwrapped(text: str) -> str:
    """The text without brackets around all of it."""
    while text.startswith("(") and text.endswith(")") and list(_outside(text)) == [0, len(text) - 1]:
        text = text[1:-1]
    return text
