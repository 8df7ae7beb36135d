"""Makes texts comparable: one form for each character, lower case, single spaces."""

from __future__ import annotations

import re
import unicodedata

from clawdbot_dialogue.core.language.traditional_chinese import SIMPLER

LONGEST_READ = 2000
"""Characters of a message that the rules look at; whoever writes more is not answering a question in set
phrases."""

_ALIKE = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "`": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-"}
)
_ALIKE |= SIMPLER
_VULGAR = re.compile(r"(?:(\d{1,9}) ?)?([¼-¾⅐-⅞])")
"""Before NFKC, which makes 11⁄2 of 1½."""


def fold(text: str) -> str:
    """The text in lower case, with plain quotes, ½ as 0.5, simplified characters and single spaces.

    It is cut to LONGEST_READ.
    """
    text = text[:LONGEST_READ]
    if not text.isascii():
        text = _VULGAR.sub(_decimal, text)
        text = unicodedata.normalize("NFKC", text).translate(_ALIKE)
    return " ".join(text.lower().split())


def _decimal(found: re.Match[str]) -> str:
    value = int(found[1] or 0) + unicodedata.numeric(found[2])
    return f"{value:.3f}".rstrip("0")


_HAN = re.compile(r"[\u3400-\u9fff]")


def words(text: str) -> int:
    """How many words a folded text has, roughly: Chinese, which parts none, makes one of two characters."""
    han = len(_HAN.findall(text))
    return han // 2 + len(_HAN.sub(" ", text).split())
