"""English number words as figures: "twenty-one", "2.5 million", "two and a half" and "5k" become digits.

text2num does the words. What is figures already it does not multiply (2 1000000 for "2 million"), and it
knows no fractions; so a scale that follows either is kept from it, and multiplied here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from text_to_num import alpha2digit  # type: ignore[import-untyped]  # compiled, without stubs

_NOT_COUNTING = re.compile(
    r"\b(no|this|that|the|which|another|any|other|first|second|third|fourth|fifth|last|every"
    r"|(?:the|an?) [a-z]+) one\b"
)
""" "That one" is not 1."""
_GROUPS = (
    (re.compile(r"\bhalf a dozen\b"), "6"),
    (re.compile(r"\b(?:a|one) dozen\b"), "12"),
    (re.compile(r"\ba couple(?: of)?(?= )|\ba couple\b"), "2"),
    (re.compile(r"\b(?:just|only) (?:me|myself)\b|\bby myself\b|\bjust for me\b"), "1 person"),
    (re.compile(r"\bthe (?:both|pair) of us\b|\bboth of us\b"), "2 of us"),
)
_SPACED = re.compile(r"(?<![\d.,:/+-])(?<!\d )[1-9]\d{0,2}(?:[ ']000)+(?![\d.,]\d|\d)")
"""Thousands as many write them, 200 000; only round ones, which are no two numbers."""
_ISH = re.compile(r"(?<=\d)((?: ?[ap]m)?) ?ish\b")
_GROUP_HINT = re.compile(r"dozen|couple|\b(?:me|myself|both|pair)\b")
"""What each of the groups contains some of."""

_SCALES: Mapping[str, int] = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
_LETTERS: Mapping[str, int] = {"k": 10**3, "mn": 10**6, "bn": 10**9, "tn": 10**12}
"""Not m: it may be minutes or metres, and is a million only as a sum of money."""
_PARTS: Mapping[str, float] = {
    "half": 0.5, "a half": 0.5, "a quarter": 0.25, "quarter": 0.25, "3 quarters": 0.75,
}  # fmt: skip
_SCALE = "|".join(_SCALES)
_PART = "|".join(sorted(_PARTS, key=len, reverse=True))
_FIGURES = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,6})?|\d{1,15}(?:\.\d{1,6})?"
_ALONE = r"(?<![\w.,:/-])"

_SCALE_HINT = re.compile(r"\d(?:k|[mbt]n)\b|hundred|thousand|illion")
"""What every number with a scale contains some of."""
_LETTERED = re.compile(rf"(?<![\w.,:/])({_FIGURES})({'|'.join(_LETTERS)})\b")
_HYPHENS = re.compile(r"\b[- ]and[- ]a[- ](half|quarter)\b")
_UNMULTIPLIED = re.compile(
    rf"((?:\d|\b(?:half|quarters?)(?: of)?(?: a)?|\bpoint(?: [a-z]+){{1,6}}?)[ -]?)"
    rf"({_SCALE})s?(?:[ -]({_SCALE})s?)?\b"
)
"""A scale behind what text2num does not multiply: figures, a fraction, "one point five"."""
_KEPT = "x"
"""Makes a scale a word that text2num does not know."""
_TERM = re.compile(
    rf"{_ALONE}(?:(?P<count>{_FIGURES})(?: and (?P<more>{_PART}))?|(?P<part>{_PART})(?: of)?(?: a)?)"
    rf" (?P<scale>{_SCALE}){_KEPT}(?: (?P<twice>{_SCALE}){_KEPT})?(?!\w)"
    rf"|{_ALONE}(?P<plain>{_FIGURES})(?![\w:/%]|[.,-]\d)"
)
_LEFT = re.compile(rf"\b({_SCALE}){_KEPT}\b")
_MIXED = re.compile(rf"{_ALONE}(\d{{1,15}}) and ({_PART})\b(?! (?:of|an?|past|to|before|after)\b)")
"""What "7 and a quarter past" or "2 and half an hour" has is a part of something else."""


def digits(text: str) -> str:
    """The text with figures for words: "for twenty-one" → "for 21", "the third" → "the 3rd"."""
    if " one" in text:
        text = _NOT_COUNTING.sub(r"\1 thing", text)
    text = _SPACED.sub(lambda found: re.sub("[ ']", "", found[0]), text)
    text = text.replace("ppl", "people").replace("-ish", " ish")
    if _GROUP_HINT.search(text):
        for pattern, replacement in _GROUPS:
            text = pattern.sub(replacement, text)
    parted = "and" in text and ("half" in text or "quarter" in text)
    if parted:
        text = _HYPHENS.sub(r" and a \1", text)
    scaled = _SCALE_HINT.search(text)
    if scaled:
        text = _LETTERED.sub(lambda found: _shown(_read(found[1]) * _LETTERS[found[2]]), text)
        text = _UNMULTIPLIED.sub(_keep, text)
    text = str(alpha2digit(text, "en", threshold=0))
    if scaled:
        text = _LEFT.sub(lambda found: str(_SCALES[found[1]]), _multiply(text))
    if "ish" in text:
        text = _ISH.sub(r"\1", text)
    return _MIXED.sub(_mix, text) if parted else text


def _keep(found: re.Match[str]) -> str:
    scales = " ".join(f"{each}{_KEPT}" for each in (found[2], found[3]) if each)
    return f"{found[1].rstrip(' -')} {scales}"


def _multiply(text: str) -> str:
    """The text with products for their factors; 2 million 500 thousand is one number."""
    done, last, whole, least = [""], 0, 0.0, 0
    """`least` is the smallest scale so far of the number that `done` ends with; 0 where that is over."""
    for found in _TERM.finditer(text):
        value, scale = _term(found)
        between = text[last : found.start()]
        if least and value < least and between in (" ", " and "):
            whole, least = whole + value, scale
            done[-1] = _shown(whole)
        else:
            whole, least = value, scale
            done += [between, _shown(value) if scale else found[0]]
        last = found.end()
    return "".join([*done, text[last:]])


def _term(found: re.Match[str]) -> tuple[float, int]:
    """What a term is worth, and the scale that a smaller one may follow it in; 0 for none."""
    if found["plain"]:
        return _read(found["plain"]), 0
    count = _PARTS[found["part"]] if found["part"] else _read(found["count"])
    scale = _SCALES[found["scale"]]
    factor = scale * _SCALES.get(found["twice"] or "", 1)
    return (count + _PARTS.get(found["more"] or "", 0.0)) * factor, scale


def _mix(found: re.Match[str]) -> str:
    """2.5 for "2 and a half"; 2500000 for "2000000 and a half", which was said as 2 million."""
    whole = int(found[1])
    scale = next((each for each in (10**9, 10**6, 10**3) if whole and whole % each == 0), 1)
    return _shown(whole + _PARTS[found[2]] * scale)


def _read(figures: str) -> float:
    return float(figures.replace(",", ""))


def _shown(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
