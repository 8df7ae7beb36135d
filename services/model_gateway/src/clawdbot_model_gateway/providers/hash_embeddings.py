"""Embeds texts without a model: equal texts get equal vectors on every machine, common words give near ones.

Feature hashing (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning"): each word adds
1 to, or subtracts 1 from, the dimension that its hash selects. Good for trying things out, not for meaning.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Final

DEFAULT_DIMENSIONS: Final = 64
"""Length of a vector, if the request does not set another."""

_WORD: Final = re.compile(r"\w+|[^\w\s]")


def hash_embedding(text: str, dimensions: int) -> list[float]:
    """A vector of norm 1; all zeros for a text without words."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.casefold()):
        number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        vector[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    norm = math.sqrt(sum(value * value for value in vector))
    return [value / norm for value in vector] if norm else vector
