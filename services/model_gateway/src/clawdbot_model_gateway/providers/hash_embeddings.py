"""Vectors of texts without a model: the same for the same text everywhere, near for texts with common words.

Feature hashing (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning"): each word adds
one to, or takes one from, a dimension that its hash names. Good for trying out, not for meaning.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Final

DIMENSIONS: Final = 64
"""Length of a vector where nobody asks for another."""

_WORD: Final = re.compile(r"\w+|[^\w\s]")


def vector_of(text: str, dimensions: int) -> list[float]:
    """A vector of length 1; of zeros for a text without words."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.casefold()):
        number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        vector[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(each * each for each in vector))
    return [each / length for each in vector] if length else vector
