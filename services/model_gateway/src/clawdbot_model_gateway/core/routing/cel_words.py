"""What is wrong with a condition in CEL, in plain words instead of those of the library."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

_REPORT: Final = re.compile(r"ERROR: <input>:-?\d+:(-?\d+): (.*?)(?: \[[A-Z_]+\])?$", re.MULTILINE)
_TYPES: Final = {
    "string": "a text",
    "int": "a whole number",
    "uint": "a whole number",
    "double": "a number",
    "bool": "true or false",
    "bytes": "bytes",
    "null": "null",
    "list": "a list",
    "map": "a map",
}
_TOKEN: Final = re.compile(
    r"[rR]\"{3}.*?\"{3}|[rR]'{3}.*?'{3}|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"
    r"//[^\n]*|[rR]\"[^\"\n]*\"|[rR]'[^'\n]*'|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\w+|\S",
    re.DOTALL,
)
_QUOTES: Final = ('"', "'")


def _no_overload(found: re.Match[str]) -> str:
    operator = found[1].strip("_@").replace("_", "")
    what = f"{operator}()" if operator.isalpha() and operator != "in" else operator
    kinds = [plain_type(each) for each in found[2].split(", ") if each]
    return f"{what} cannot be used with {' and '.join(kinds)}"


_WORDS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"found no matching overload for '(.*?)' applied to '\((.*)\)'", _no_overload),
        (r"undeclared reference to '([^']*)'", lambda found: f"there is no {found[1]}"),
        (
            r"undefined field '([^']*)' not found in struct '(?:.*\.)?(\w+)'",
            "{0[2]} has no field {0[1]}".format,
        ),
        (r"missing '(.*?)' at '<EOF>'", lambda found: f"{found[1]} is missing at the end"),
        (r"mismatched input '<EOF>'", lambda _: "it ends too early"),
        (
            r"(?:token recognition error at:|mismatched input|extraneous input) '(.*?)'?(?: expecting|$)",
            lambda found: f"{found[1].strip()} is not expected here",
        ),
        (r"no viable alternative at input '(.*?)'", lambda found: f"{found[1].strip()} is not expected here"),
        (
            r"expression of type '(.*?)' cannot be the operand of a select",
            lambda found: f"{plain_type(found[1])} has no fields",
        ),
        (r"invalid (?:u?int|double) literal", lambda _: "this is not a number"),
        (r"recursion limit", lambda _: "too many levels of parentheses and operators"),
    )
)
"""What the library says → what we say, from the match."""

CAUSES: Final = {
    "divide by zero": "division by zero",
    "modulus by zero": "division by zero",
    "overflow": "a number out of range",
    "OUT_OF_RANGE": "a number out of range",
    "invalid regular expression": "an invalid regular expression",
    "cannot convert": "a text that is not a number",
    "Index error": "no such position in a list",
    "No matching overloads": "a value of another type",
    "no matching overload": "a value of another type",
    "budget": "loops over too many values",
    "iteration": "loops over too many values",
}
"""Part of what the library says of a condition that cannot be evaluated → the class of its cause."""


def plain_type(name: str) -> str:
    """A type of the library for people: "a whole number"."""
    kind = re.split(r"[(<]", name)[0]
    if "." in kind:  # a message of the contract
        return f"a {kind.rpartition('.')[2]}"
    return _TYPES.get(kind.lower(), "another type")


def explanation(report: str) -> str:
    """What is wrong with a condition, from the library's report."""
    found = _REPORT.search(report)
    text = found[2] if found else report.partition("\n")[0]
    matches = ((pattern.search(text), words) for pattern, words in _WORDS)
    plain = next((words(match) for match, words in matches if match), text)
    return f"at character {found[1]}: {plain}" if found else plain


def cause(error: str) -> str:
    """Why a condition could not be evaluated: a class, without a word of the request."""
    return next((words for part, words in CAUSES.items() if part in error), "another error")


def constant_patterns(text: str) -> Iterator[str]:
    """The literals in a condition that are the pattern of a matches()."""
    calls: list[tuple[str, list[str]]] = []
    """Of each open bracket: the word before it, and the tokens of its last argument."""
    previous = ""
    for found in _TOKEN.finditer(text):
        piece = found[0]
        if piece.startswith("//"):
            continue
        if piece in "([{":
            calls.append((previous, []))
        elif piece in ")]}" and calls:
            name, argument = calls.pop()
            if name == "matches" and len(argument) == 1 and argument[0].endswith(_QUOTES):
                yield argument[0]
            if calls:
                calls[-1][1].append(piece)
        elif piece == "," and calls:
            calls[-1][1].clear()
        elif calls:
            calls[-1][1].append(piece)
        previous = piece
