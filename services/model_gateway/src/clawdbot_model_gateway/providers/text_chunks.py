"""Splits text into the chunks that a model would stream: words, or characters in scripts without spaces."""

from __future__ import annotations

import re
from typing import Final

_CHUNK: Final = re.compile(r"\s*[^\s\u2e80-\U0003ffff]{1,16}|\s*[\u2e80-\U0003ffff]|\s+")
"""From U+2E80 on: Chinese, Japanese, Korean, and others that are written without spaces, and emoji."""


def split_chunks(text: str) -> list[str]:
    """The chunks, which joined are the text."""
    return _CHUNK.findall(text)
