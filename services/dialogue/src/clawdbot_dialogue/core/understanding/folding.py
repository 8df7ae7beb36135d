"""Makes texts comparable: one form for each character, lower case, single spaces."""

from __future__ import annotations

import re
import unicodedata

LONGEST_READ = 2000
"""Characters of a message that the rules look at; whoever writes more is not answering a question in set
phrases."""

_ALIKE = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "`": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-"}
)
_SPACES = re.compile(r"\s+")


def fold(text: str) -> str:
    """The text in lower case, with plain quotes and single spaces; cut to LONGEST_READ."""
    text = text[:LONGEST_READ]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_ALIKE)
    return _SPACES.sub(" ", text.lower()).strip()
