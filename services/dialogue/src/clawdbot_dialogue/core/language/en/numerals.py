"""Writes English numbers as digits: "twenty-one", "2.5 million", "two and a half" and "5k".

text2num converts the words. It does not multiply digits ("2 million" becomes 2 1000000) and does not know
fractions, so a scale word after either is hidden from it and multiplied here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from text_to_num import alpha2digit  # type: ignore[import-untyped]  # compiled, without stubs

_NOT_COUNTING = re.compile(
    r"\b(no|this|that|the|which|another|any|other|first|second|third|fourth|fifth|last|every"
    r"|(?:the|an?) [a-z]+) one\b"
)
"""In "that one", "one" is not 1."""
_GROUPS = (
    (re.compile(r"\bhalf a dozen\b"), "6"),
    (re.compile(r"\b(?:a|one) dozen\b"), "12"),
    (re.compile(r"\ba couple(?: of)?(?= )|\ba couple\b"), "2"),
    (re.compile(r"\b(?:just|only) (?:me|myself)\b|\bby myself\b|\bjust for me\b"), "1 person"),
    (re.compile(r"\bthe (?:both|pair) of us\b|\bboth of us\b"), "2 of us"),
)
_SPACED = re.compile(r"(?<![\d.,:/+-])(?<!\d )[1-9]\d{0,2}(?:[ ']000)+(?![\d.,]\d|\d)")
"""Thousands with a space, as in 200 000; only round ones, which cannot be two numbers."""
_ISH = re.compile(r"(?<=\d)((?: ?[ap]m)?) ?ish\b")
_GROUP_HINT = re.compile(r"dozen|couple|\b(?:me|myself|both|pair)\b")
"""Matches some part of each of the groups."""

_UNIT_AS_ORDINAL = re.compile(r"(?<=\b1 )2nd\b")
"""What text2num makes of "1 second", which is a length of time."""

_SCALES: Mapping[str, int] = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
_LETTERS: Mapping[str, int] = {"k": 10**3, "mn": 10**6, "bn": 10**9, "tn": 10**12}
"""Without m, which may mean minutes or metres; it is a million only in sums of money."""
_FRACTIONS: Mapping[str, float] = {
    "half": 0.5, "a half": 0.5, "a quarter": 0.25, "quarter": 0.25, "3 quarters": 0.75,
}  # fmt: skip
_SCALE = "|".join(_SCALES)
_FRACTION = "|".join(sorted(_FRACTIONS, key=len, reverse=True))
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,6})?|\d{1,15}(?:\.\d{1,6})?"
_ALONE = r"(?<![\w.,:/-])"

_SCALE_HINT = re.compile(r"\d(?:k|[mbt]n)\b|hundred|thousand|illion")
"""Matches some part of every number with a scale."""
_LETTERED = re.compile(rf"(?<![\w.,:/])({_DIGITS})({'|'.join(_LETTERS)})\b")
_HYPHENS = re.compile(r"\b[- ]and[- ]a[- ](half|quarter)\b")
_UNMULTIPLIED = re.compile(
    rf"((?:\d|\b(?:half|quarters?)(?: of)?(?: a)?|\bpoint(?: [a-z]+){{1,6}}?)[ -]?)"
    rf"({_SCALE})s?(?:[ -]({_SCALE})s?)?\b"
)
"""A scale after something that text2num does not multiply: digits, a fraction, "one point five"."""
_HIDDEN = "x"
"""Appended to a scale, it makes a word that text2num does not know."""
_TERM = re.compile(
    rf"{_ALONE}(?:(?P<count>{_DIGITS})(?: and (?P<more>{_FRACTION}))?|(?P<part>{_FRACTION})(?: of)?(?: a)?)"
    rf" (?P<scale>{_SCALE}){_HIDDEN}(?: (?P<twice>{_SCALE}){_HIDDEN})?(?!\w)"
    rf"|{_ALONE}(?P<plain>{_DIGITS})(?![\w:/%]|[.,-]\d)"
)
_LEFT = re.compile(rf"\b({_SCALE}){_HIDDEN}\b")
_MIXED = re.compile(rf"{_ALONE}(\d{{1,15}}) and ({_FRACTION})\b(?! (?:of|an?|past|to|before|after)\b)")
"""In "7 and a quarter past" or "2 and half an hour" the fraction belongs to something else."""


def normalize_numerals(text: str) -> str:
    """The text with number words as digits: "for twenty-one" → "for 21", "the third" → "the 3rd"."""
    if " one" in text:
        text = _NOT_COUNTING.sub(r"\1 thing", text)
    if "000" in text:
        text = _SPACED.sub(lambda found: re.sub("[ ']", "", found[0]), text)
    text = text.replace("ppl", "people").replace("-ish", " ish")
    if _GROUP_HINT.search(text):
        for pattern, replacement in _GROUPS:
            text = pattern.sub(replacement, text)
    has_fraction = "and" in text and ("half" in text or "quarter" in text)
    if has_fraction:
        text = _HYPHENS.sub(r" and a \1", text)
    scaled = _SCALE_HINT.search(text)
    if scaled:
        text = _LETTERED.sub(lambda found: _format(_parse(found[1]) * _LETTERS[found[2]]), text)
        text = _UNMULTIPLIED.sub(_hide_scale, text)
    has_second = "second" in text
    text = str(alpha2digit(text, "en", threshold=0))
    if has_second:
        text = _UNIT_AS_ORDINAL.sub("second", text)
    if scaled:
        text = _LEFT.sub(lambda found: str(_SCALES[found[1]]), _multiply(text))
    if "ish" in text:
        text = _ISH.sub(r"\1", text)
    return _MIXED.sub(_mix, text) if has_fraction else text


def _hide_scale(found: re.Match[str]) -> str:
    scales = " ".join(f"{each}{_HIDDEN}" for each in (found[2], found[3]) if each)
    return f"{found[1].rstrip(' -')} {scales}"


def _multiply(text: str) -> str:
    """The text with each number multiplied by its scale; 2 million 500 thousand is one number."""
    done, last, whole, least = [""], 0, 0.0, 0
    # `least` is the smallest scale so far of the number at the end of `done`; 0 if that number is complete.
    for found in _TERM.finditer(text):
        value, scale = _term(found)
        between = text[last : found.start()]
        if least and value < least and between in (" ", " and "):
            whole, least = whole + value, scale
            done[-1] = _format(whole)
        else:
            whole, least = value, scale
            done += [between, _format(value) if scale else found[0]]
        last = found.end()
    return "".join([*done, text[last:]])


def _term(found: re.Match[str]) -> tuple[float, int]:
    """The value of a term, and its scale, which a smaller term may follow; 0 if none may."""
    if found["plain"]:
        return _parse(found["plain"]), 0
    count = _FRACTIONS[found["part"]] if found["part"] else _parse(found["count"])
    scale = _SCALES[found["scale"]]
    factor = scale * _SCALES.get(found["twice"] or "", 1)
    return (count + _FRACTIONS.get(found["more"] or "", 0.0)) * factor, scale


def _mix(found: re.Match[str]) -> str:
    """2.5 for "2 and a half"; 2500000 for "2000000 and a half", which was "2 million and a half"."""
    whole = int(found[1])
    scale = next((each for each in (10**9, 10**6, 10**3) if whole and whole % each == 0), 1)
    return _format(whole + _FRACTIONS[found[2]] * scale)


def _parse(digits: str) -> float:
    return float(digits.replace(",", ""))


def _format(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
