"""English numbers: words become digits (by text2num), digits become values."""

from __future__ import annotations

import re

from text_to_num import alpha2digit  # type: ignore[import-untyped]  # compiled, without stubs

from clawdbot_dialogue.core.understanding.locale import Found

_NOT_COUNTING = re.compile(
    r"\b(no|this|that|the|which|another|any|other|first|second|third|fourth|fifth|last|every) one\b"
)
""" "That one" is not 1."""
_GROUPS = (
    (re.compile(r"\bhalf a dozen\b"), "6"),
    (re.compile(r"\b(?:a|one) dozen\b"), "12"),
    (re.compile(r"\ba couple(?: of)?(?= )|\ba couple\b"), "2"),
    (re.compile(r"\b(?:just|only) (?:me|myself)\b|\bby myself\b|\bjust for me\b"), "1 person"),
    (re.compile(r"\bthe (?:both|pair) of us\b|\bboth of us\b"), "2 of us"),
)
_NUMBER = re.compile(r"(?<![\w.,:/@-])[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,6})?(?![\w:/@%]|[.,-]\d)")
_BEFORE = re.compile(
    r"(?:^|\b(?:for|make (?:it|that)|it's|it is|be|are|to|say|about|around|just|only|no)[ ,]+|[,.!] *)$"
)
_AFTER = re.compile(
    r"^ *(?:$|[,.!?;]|of us\b|(?:people|persons?|guests?|adults?|please|on|at|in|the|this|next|and"
    r"|instead|not|then)\b)"
)


_GROUP_HINT = re.compile(r"dozen|couple|\b(?:me|myself|both|pair)\b")
"""What each of the groups contains some of."""


def digits(text: str) -> str:
    """The text with figures for words: "for twenty-one" → "for 21", "the third" → "the 3rd"."""
    if " one" in text:
        text = _NOT_COUNTING.sub(r"\1 thing", text)
    if _GROUP_HINT.search(text):
        for pattern, replacement in _GROUPS:
            text = pattern.sub(replacement, text)
    return str(alpha2digit(text, "en", threshold=0))


def numbers(text: str) -> list[Found[float]]:
    """The numbers in a text with digits; times, dates, ordinals and percentages are none."""
    return [
        Found(found.start(), found.end(), _value(found[0].replace(",", "")))
        for found in _NUMBER.finditer(text)
        if not text[: found.start()].endswith("not ")
    ]


def _value(figures: str) -> float:
    return float(figures) if "." in figures else int(figures)


def counted(before: str, after: str) -> bool:
    """Whether the texts around a number leave it standing for itself; "for 3 nights" does not."""
    return bool(_BEFORE.search(before) and _AFTER.search(after))


def either(between: str) -> bool:
    """Whether the text between two values leaves open which is meant."""
    return between.strip() in ("or", "or maybe", "or perhaps", ", or", "to", "-", "or even")
