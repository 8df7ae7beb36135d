"""What two texts must have in common to mean the same, whatever a model says about their similarity.

Models of embeddings find "with nuts" and "without nuts" as similar as two ways to ask one thing: what makes
the difference is a small part of the text. So texts that differ in a small part are never taken for the same.
What is left are texts that differ in nothing but words like "please", and texts in quite other words; for
these alone similarity decides.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

MIN_CONTENT: Final = 2
"""Words of a text that is compared with one in other words: shorter ones say too little."""
MAX_OVERLAP: Final = 0.5
"""Share of the shorter text's words from which on the texts are variants of one sentence."""
MAX_GAP: Final = 2
"""Words that two texts may have instead of each other to be variants of one sentence."""
SHORT_NAME: Final = 3
"""Letters up to which a name could be another word: US and us, IT and it."""

_CONTRACTIONS: Final = (
    (re.compile(r"\bcan(?:no|'?)t\b"), "can not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'(?:s|re|m)\b"), " is"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'ve\b"), " have"),
)
_POLITE: Final = (
    re.compile(
        r"\b(?:(?:can|could|would|will) you (?:please )?|please )?"
        r"(?=(?:tell|give|show|explain|describe|list|write|summari[sz]e|translate|help|find)\b)"
    ),
    re.compile(r"\b(?:tell me|i (?:want|would like) to know|do you know)\b"),
    re.compile(r"(?<=\bhow )(?:do|can|could|would|should) i\b|(?<=\bhow )to\b"),
    re.compile(r"\bthank you\b"),
)
_FILLER: Final = re.compile(r"an?|the|is|are|am|do|does|please|kindly|hi|hello|hey|thanks")
_NEGATION: Final = re.compile(
    r"no|not|never|none|nobody|nothing|nowhere|neither|nor|without|stop"
    r"|nicht|keine?[nmrs]?|nie|ohne|ne|pas|jamais|sans|sin|nunca|нет|не|без|[不没沒無无非别未]"
)
_NEGATIVE_PREFIXES: Final = ("un", "in", "im", "il", "ir", "dis", "de", "non", "mis")
_NUMBER: Final = re.compile(
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred|thousand|million|billion"
    r"|first|second|third|(?:four|fif|six|seven|eigh|nin|ten)th|half|quarter|dozen|once|twice|[一二两三四五六七八九十百千万]"
)
_TOKEN: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # a character is a word, more or less
    r"|[-+\u2212]?\d+(?:[.,:/]\d+)*\w*"
    r"|\w+"
    r"|[^\w\s.,!?;:'\"()\u2026-]"
)
_WORD: Final = re.compile(r"(\w+)[^\w.!?\n]*([.!?\n]?)")
"""A word, and what ends its sentence."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A text as it is compared."""

    words: tuple[str, ...]
    """In small letters, with symbols, without punctuation."""
    content: tuple[str, ...]
    """The words without those that change nothing."""
    marks: tuple[str, ...]
    """Numbers, negations and symbols."""
    names: frozenset[str]
    """Words with a capital that do not begin a sentence, as they were written."""


def wording(text: str) -> Wording:
    """The wording of a text."""
    normal = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    folded = normal.casefold()
    for pattern, full in _CONTRACTIONS:
        folded = pattern.sub(full, folded)
    words = tuple(_TOKEN.findall(folded))
    plain = folded
    for polite in _POLITE:
        plain = polite.sub("", plain)
    content = tuple(each for each in _TOKEN.findall(plain) if not _FILLER.fullmatch(each))
    return Wording(words, content, tuple(filter(_is_mark, words)), _names(normal))


def may_mean_the_same(one: Wording, other: Wording) -> bool:
    """Whether their similarity may be asked for. False for variants of one sentence."""
    if one.marks != other.marks or not (_has_names(one, other) and _has_names(other, one)):
        return False
    if one.content == other.content:
        return True
    shorter = min(len(set(one.content)), len(set(other.content)))
    if shorter < MIN_CONTENT or len({*one.content} & {*other.content}) >= MAX_OVERLAP * shorter:
        return False
    if _has_negated(one.words, other.words) or _has_negated(other.words, one.words):
        return False
    return _gap(one.words, other.words) > MAX_GAP


def _has_negated(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether a text has the negation of a word of the other: legal, illegal."""
    return any(
        word.startswith(prefix) and len(word) > len(prefix) + 2 and word.removeprefix(prefix) in other
        for word in one
        for prefix in _NEGATIVE_PREFIXES
    )


def _is_mark(word: str) -> bool:
    return not word.isalpha() or bool(_NEGATION.fullmatch(word) or _NUMBER.fullmatch(word))


def _names(text: str) -> frozenset[str]:
    names = set()
    begins = True
    for word, end in _WORD.findall(text):
        capital = word != word.lower()
        if capital and word != "I" and (not begins or (len(word) > 1 and word.isupper())):
            names.add(word)
        begins = bool(end)
    return frozenset(names)


def _has_names(one: Wording, other: Wording) -> bool:
    """Whether a text has the names of the other, at least in small letters."""
    return all(
        name in one.names or (len(name) > SHORT_NAME and name.casefold() in one.words) for name in other.names
    )


def _gap(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The number of words between a common beginning and a common end; many where there is neither."""
    shorter = min(len(one), len(other))
    start = 0
    while start < shorter and one[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    common = start + end
    return max(len(one), len(other)) - common if common else MAX_GAP + 1
