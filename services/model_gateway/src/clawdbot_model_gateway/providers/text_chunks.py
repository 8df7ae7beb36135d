"""Text in the pieces that a model would say it in: words, or signs where a script has no spaces."""

from __future__ import annotations

import re
from typing import Final

_PIECE: Final = re.compile(r"\s*[^\s\u2e80-\U0003ffff]{1,16}|\s*[\u2e80-\U0003ffff]|\s+")
"""From U+2E80 on: Chinese, Japanese, Korean, and whatever else is written without spaces or is one sign."""


def pieces_of(text: str) -> list[str]:
    """The pieces, which make the text when joined."""
    return _PIECE.findall(text)
