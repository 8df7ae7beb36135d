"""Sizes of groups in English: "2 adults and a child", "me and my wife", "4 including kids"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clawdbot_dialogue.core.language.span import Span

PEOPLE_UNITS = ("people", "guests", "persons", "of us")
"""The units of a slot that counts people."""

_COUNT = r"\d{1,3}|an?|another"
_KIND = (
    r"adults?|grown-?ups?|child(?:ren)?|kids?|bab(?:y|ies)|infants?|toddlers?|teens?|teenagers?|seniors?"
    r"|m[ae]n|wom[ae]n|lad(?:y|ies)|guys|boys?|girls?|friends?|colleagues?|others?|more"
)
_CLOSE = (
    r"wife|husband|partner|spouse|girlfriend|boyfriend|fianc[eé]e?|friend|mate|mum|mom|mother|dad|father"
    r"|sister|brother|son|daughter|boss|colleague"
)
_AND = r"(?:,? (?:and|plus|with|&) |, | ?\+ ?)"
_NUMBER = r"(?<![\w.,:/-])\d{1,3}"
_ANYBODY = rf"{_KIND}|people|guests?|persons?|of us"
_MORE = rf"(?:{_AND}(?:my )?(?:{_COUNT}) (?:{_KIND})\b)"
_I = r"\b(?:me|myself|i)"
_SUM = re.compile(
    rf"(?:(?:{_NUMBER}|\ban?)(?: (?:{_ANYBODY}))?{_MORE}"
    rf"|{_I}(?:,? (?:and|plus|with)) (?:my )?(?:{_COUNT}) (?:{_ANYBODY})\b){_MORE}*"
    r"(?! (?:of|are|is) )"
)
_TWO = re.compile(rf"\bmy (?:{_CLOSE}) and (?:i|me|myself)\b|{_I}(?: and|,? plus|,) (?:my|a) (?:{_CLOSE})\b")
_WHOLE = re.compile(rf"({_NUMBER})[^.!?\d]{{0,20}}?\b(?:including|incl\.?|counting) (?:{_COUNT})\b")
_COUPLES = re.compile(rf"({_NUMBER}) couples\b")
_TERM = re.compile(r"\d+|\b(?:an?|another|me|myself|i)\b")
_OF_PEOPLE = re.compile(rf"^ (?:{_ANYBODY})\b|^[ ,.!]*(?:$|(?:please|thanks|then|at|on|for)\b)")
_HINT = re.compile(r"[+&]|, (?:my|an?|another|\d)|\b(?:and|plus|with|incl|counting|couples)")
"""Matches some part of each of these."""


def group_sizes(text: str) -> Iterator[Span[int]]:
    """The totals of people in a text with digits."""
    if not _HINT.search(text):
        return
    for found in _TWO.finditer(text):
        yield Span(*found.span(), 2)
    for found in _WHOLE.finditer(text):
        yield Span(*found.span(), int(found[1]))
    for found in _COUPLES.finditer(text):
        yield Span(*found.span(), 2 * int(found[1]))
    for found in _SUM.finditer(text):
        terms = _TERM.findall(found[0])
        yield Span(*found.span(), sum(int(each) if each.isdigit() else 1 for each in terms))


def counts_people(after: str) -> bool:
    """Whether the text after a number says that it counts people, or does not say what it counts."""
    return bool(_OF_PEOPLE.match(after))
