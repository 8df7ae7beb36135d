"""English numbers: which digits in a text are numbers, and whether one counts something else."""

from __future__ import annotations

import re

from clawdbot_dialogue.core.language.span import Span

_RANGED = r"(?:(?<=^\d-)|(?<=^\d\d-)|(?<= \d-)|(?<= \d\d-))"
"""After the first number of "4-6"."""
_NUMBER = re.compile(
    rf"(?=[-+\d])(?:(?<![\w.,:/@-])|{_RANGED})[-+]?(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,15}})(?:\.\d{{1,6}})?"
    r"(?![\w:/@%]|[.,]\d|-(?!\d{1,2}(?![\w.:/-]))\d| quarters?\b"
    r"| of us (?:is|are|has|have|can|will|want|need|do)\b)"
)
_BEFORE = re.compile(
    r"(?:^|\b(?:for|make (?:it|that)|it's|it is|be|are|to|say|about|around|just|only|no)[ ,]+|[,.!] *)$"
)
_GROUP_OF = re.compile(r"\b(?:party|group|table|family|team|total) of $")
_AFTER = re.compile(
    r"^ *(?:$|[,.!?;]|of us\b|(?:people|persons?|guests?|adults?|please|on|at|in|the|this|next|and"
    r"|instead|not|then)\b)"
)


def numbers(text: str) -> list[Span[int | float]]:
    """The numbers in a text with digits; times, dates, ordinals and percentages are not numbers."""
    return [
        Span(found.start(), found.end(), _value(found[0].replace(",", "")))
        for found in _NUMBER.finditer(text)
    ]


def _value(digits: str) -> int | float:
    return float(digits) if "." in digits else int(digits)


def is_bare_number(before: str, after: str) -> bool:
    """Whether a number counts nothing else, given the text around it; in "for 3 nights" it counts nights."""
    return bool((_BEFORE.search(before) and _AFTER.search(after)) or _GROUP_OF.search(before))
