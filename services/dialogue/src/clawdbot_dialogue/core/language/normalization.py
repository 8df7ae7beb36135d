"""Normalizes text so that patterns can match it: one form for each character, lower case, single spaces."""

from __future__ import annotations

import re
import unicodedata

from clawdbot_dialogue.core.language.traditional_chinese import TO_SIMPLIFIED

MAX_READ_CHARS = 2000
"""Characters of a message that the rules read. A longer message is not an answer to a question; the limit
also bounds the time that the patterns take."""
VALUE = "\ue000"
"""Each character of a value that the rules have read, where a yes is looked for: "yes, for 4"."""

_EQUIVALENTS = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "`": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-", VALUE: " "}
)
_EQUIVALENTS |= TO_SIMPLIFIED
_VULGAR_FRACTION = re.compile(r"(?:(\d{1,9}) ?)?([¼-¾⅐-⅞])")
"""Replaced before NFKC, which turns 1½ into 11⁄2."""


def normalize(text: str) -> str:
    """The text in lower case, with plain quotes, ½ as 0.5, simplified Chinese characters and single spaces.

    Cuts it to MAX_READ_CHARS.
    """
    text = text[:MAX_READ_CHARS]
    if not text.isascii():
        text = _VULGAR_FRACTION.sub(_decimal, text)
        text = unicodedata.normalize("NFKC", text).translate(_EQUIVALENTS)
    return " ".join(text.lower().split())


def _decimal(found: re.Match[str]) -> str:
    value = int(found[1] or 0) + unicodedata.numeric(found[2])
    return f"{value:.3f}".rstrip("0")


_HAN = re.compile(r"[\u3400-\u9fff]")


def count_words(text: str) -> int:
    """Roughly how many words a normalized text has; two Chinese characters count as one word."""
    han = len(_HAN.findall(text))
    return han // 2 + len(_HAN.sub(" ", text).split())
