"""How long a text is for a model: the port that counts, the pieces of long texts, and a memory of them.

The pieces begin at the start of the text, so that texts with a common prefix share them; what was counted is
not counted again.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol

PIECE: Final = 4096
"""Characters of a piece, at least: then it ends with the next line."""
LONGEST: Final = 16 * PIECE
"""Characters after which a piece ends anywhere: a tokenizer may take the square of one without spaces."""
REMEMBERED: Final = 16_384
"""Pieces whose count is kept: about 64 MB of text, in about 3 MB."""

_END_OF_LINE: Final = re.compile(r"\n(?=[^\s])")
"""No vocabulary's pattern joins a newline with the letter behind it; what is white behind it, it does."""


@dataclass(frozen=True, slots=True)
class TextCount:
    """Tokens of a text."""

    tokens: int
    uncertain: int = 0
    """Tokens by which it may differ: one for each cut inside a line."""


class Tokenizer(Protocol):
    """A model's own way to cut text into tokens."""

    def count(self, text: str) -> int:
        """Tokens of the text, without any that mark its beginning or end.

        MUST work in any thread, several at once, and SHOULD let other threads run meanwhile. Text that looks
        like a special token MUST be counted as text.
        """


class RememberingTokenizer:
    """Counts texts of any length piece by piece; for threads, since it takes as long as it takes.

    Args:
        tokenizer: what counts.
        remembered: pieces to keep the counts of.
    """

    def __init__(self, tokenizer: Tokenizer, remembered: int = REMEMBERED) -> None:
        self._tokenizer = tokenizer
        self._remembered = remembered
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._lock = Lock()
        self._divisible = _divisible(tokenizer)
        self.hits = 0
        """Pieces that were known."""

    def count(self, text: str) -> TextCount:
        """The tokens of the text."""
        if not self._divisible and len(text) <= LONGEST:
            return TextCount(self._known(text))
        total = broken = 0
        for piece, whole in pieces(text):
            total += self._known(piece)
            broken += not (whole and self._divisible)
        return TextCount(total, broken)

    def __len__(self) -> int:
        """Pieces that are remembered."""
        return len(self._counts)

    def _known(self, piece: str) -> int:
        key = hashlib.blake2b(piece.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            known = self._counts.get(key)
            if known is not None:
                self._counts.move_to_end(key)
                self.hits += 1
                return known
        # Outside the lock: two threads may count the same piece, and none waits for another's text.
        counted = self._tokenizer.count(piece)
        with self._lock:
            self._counts[key] = counted
            while len(self._counts) > self._remembered:
                self._counts.popitem(last=False)
        return counted


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it ends where no token can reach across."""
    start = 0
    while len(text) - start > PIECE:
        end = _END_OF_LINE.search(text, start + PIECE - 1, start + LONGEST)
        stop = end.end() if end else start + LONGEST
        if stop >= len(text):
            break
        yield text[start:stop], end is not None
        start = stop
    yield text[start:], True


def _divisible(tokenizer: Tokenizer) -> bool:
    """Whether a text's tokens are those of its lines: not for those that put a mark before each text."""
    lines = ("def f(x):\n", "Return it.\n\n", "Обед\n", "晚上好。\n", "x = 1\n")
    return tokenizer.count("".join(lines)) == sum(map(tokenizer.count, lines))
