"""What CEL reports, in our own words: its wording changes with the library, and says little to an author."""

from __future__ import annotations

import re
from typing import Final

MAX_LEVELS: Final = 32
"""Levels of an expression that the library parses."""
LEVELS_HINT: Final = (
    "Each bracket, each call, and each operator or loop in a row is a level. "
    "Compute a part of it first, with `set` or in a tool."
)
_UNREADABLE: Final = "it cannot be read here"
_NOT_CLOSED: Final = "a text is not closed by its quotation mark, or has a backslash that means nothing"
_UNEXPECTED: Final = "`{0}` cannot stand here"

Words = tuple[tuple[re.Pattern[str], str], ...]


def _words(*pairs: tuple[str, str]) -> Words:
    return tuple((re.compile(pattern), words) for pattern, words in pairs)


_SYNTAX: Final = _words(
    (r"recursion", f"it has more than {MAX_LEVELS} levels"),
    (r"input '<EOF>'", "it ends too early"),
    (r"missing '(.*?)' at", "`{0}` is missing"),
    (r"reserved identifier: (\w+)", "`{0}` is a word that CEL reserves"),
    (
        r"(\w+)\(\) variable name",
        "{0}() needs a name for the items first, as in {0}(x, x > 1)",
    ),
    (r"has\(\) argument", "has() takes a part of something, as in has(slots.x)"),
    (r"invalid \w*( \w+)* ?literal", "a number is too large"),
    (r"Invalid \w+ literal", _NOT_CLOSED),
    (r"token recognition error at: '[rRbB]*['\"`]", _NOT_CLOSED),
    (r"(?:input|syntax|at:) '(.*)'", _UNEXPECTED),
)
_EVALUATION: Final = _words(
    (r"(?:divide|modulus) by zero", "it divides by zero"),
    (r'Key not found in map : "?(.*?)"?$', 'there is no value "{0}"'),
    (r"index=(-?\d+) size=(\d+)", "there is no item {0} in a list of {1}"),
    (r"Index error", "the place of an item must be a whole number"),
    (r"container type|non-message type|<iter_range>", "a value is neither a list nor a mapping"),
    (r"overflow|out of .* range", "a number or a time is too large"),
    (r"convert|conversion|malformed|timezone", "a value cannot be converted"),
    (r"<jump_condition>|_&&_|_\|\|_|: !_", "a condition is neither true nor false"),
    (r"overloads found : (?:\([^)]*\)\.)?[_@]*([^(]+?)_*(?:\(|$)", "`{0}` cannot be applied to such values"),
    (r"regular expression", "the pattern of matches() is not valid"),
    (r"map key type", "the keys of a mapping must be text or whole numbers"),
    (r"[Ii]teration|[Bb]udget", "its loops take too many rounds"),
)


def syntax_words(problem: str) -> str:
    """What is wrong with an expression that CEL cannot parse, without a full stop."""
    return _first(_SYNTAX, problem, _UNREADABLE)


def evaluation_words(problem: str) -> str:
    """Why an expression has no value, without a full stop."""
    return _first(_EVALUATION, problem, "it has no value")


def _first(words: Words, problem: str, otherwise: str) -> str:
    for pattern, sentence in words:
        if found := pattern.search(problem):
            return sentence.format(*(each and each.strip() for each in found.groups()))
    return otherwise
