"""What was meant by an unknown name: the known one most like it, within bounds of time."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable
from typing import Final

MAX_NAME_LENGTH: Final = 200
"""Characters of a name that is compared: the time grows with the product of two lengths."""

MAX_COMPARED: Final = 200
"""Known names that a name is compared with, those of a similar length first: each takes about 20 µs."""

CUTOFF: Final = 0.6
"""How alike two names must be, from 0 to 1 (difflib.SequenceMatcher.ratio)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`; "" if none is similar."""
    length = len(name)
    if length > MAX_NAME_LENGTH:
        return ""
    # Others cannot reach the cutoff, whatever their letters are.
    similar = [each for each in known if 2 * min(length, len(each)) >= CUTOFF * (length + len(each))]
    if len(similar) > MAX_COMPARED:
        similar = heapq.nsmallest(MAX_COMPARED, similar, key=lambda each: abs(len(each) - length))
    close = difflib.get_close_matches(name, similar, n=1, cutoff=CUTOFF)
    return close[0] if close else ""


def did_you_mean(name: str) -> str:
    """The sentence that proposes a name, with a space before it; "" if there is none to propose."""
    return f" Did you mean {name}?" if name else ""


def nearest_or_all(name: str, known: Iterable[str]) -> str:
    """The end of an operator's sentence about an unknown name: the nearest known one, or all."""
    names = sorted(known)
    close = nearest(name, names)
    return f"; did you mean {close}?" if close else f"; available: {', '.join(names)}."
