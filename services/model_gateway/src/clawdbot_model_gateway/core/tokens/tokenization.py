"""The port of a tokenizer, and a cache that counts long texts in chunks.

Chunks are cut from the start of the text, so that texts with a common prefix share chunks. A cached chunk is
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

MIN_CHUNK_CHARACTERS: Final = 4096
"""Characters of a chunk at least; it ends at the next line break after that."""
MAX_CHUNK_CHARACTERS: Final = 16 * MIN_CHUNK_CHARACTERS
"""Characters after which a chunk ends anywhere: tokenizers may take quadratic time on text without spaces."""
MAX_CACHED_CHUNKS: Final = 16_384
"""Chunks whose count is kept: about 64 MB of text, in about 3 MB of memory."""

_END_OF_LINE: Final = re.compile(r"\n(?=[^\s])")
"""No vocabulary merges a newline with a letter after it; with white space after it, some do."""


@dataclass(frozen=True, slots=True)
class TextCount:
    """The tokens of a text."""

    tokens: int
    uncertainty: int = 0
    """Tokens by which the true count may differ: one for each cut inside a line."""


class Tokenizer(Protocol):
    """The tokenizer of a model."""

    def count(self, text: str) -> int:
        """Tokens of the text, without special tokens at its beginning or end.

        MUST be thread-safe, and SHOULD release the GIL. Text that looks like a special token MUST be counted
        as text.
        """


class CachingTokenizer:
    """Counts texts of any length chunk by chunk. Call it in a thread: long texts take long.

    Args:
        tokenizer: counts the chunks.
        max_cached: number of chunks whose counts are kept.
    """

    def __init__(self, tokenizer: Tokenizer, max_cached: int = MAX_CACHED_CHUNKS) -> None:
        self._tokenizer = tokenizer
        self._max_cached = max_cached
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._lock = Lock()
        self._additive = _is_additive(tokenizer)
        self.hits = 0
        """Number of chunks that were found in the cache."""

    def count(self, text: str) -> TextCount:
        """The tokens of the text."""
        if not self._additive and len(text) <= MAX_CHUNK_CHARACTERS:
            return TextCount(self._count_chunk(text))
        total = inexact_cuts = 0
        for chunk, at_line_end in chunks(text):
            total += self._count_chunk(chunk)
            inexact_cuts += not (at_line_end and self._additive)
        return TextCount(total, inexact_cuts)

    def __len__(self) -> int:
        """Number of cached chunks."""
        return len(self._counts)

    def _count_chunk(self, chunk: str) -> int:
        key = hashlib.blake2b(chunk.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            cached = self._counts.get(key)
            if cached is not None:
                self._counts.move_to_end(key)
                self.hits += 1
                return cached
        # Outside the lock: two threads may count the same chunk, but none waits for another's text.
        counted = self._tokenizer.count(chunk)
        with self._lock:
            self._counts[key] = counted
            while len(self._counts) > self._max_cached:
                self._counts.popitem(last=False)
        return counted


def chunks(text: str) -> Iterator[tuple[str, bool]]:
    """The text in chunks, each with whether it ends where no token can cross the cut."""
    start = 0
    while len(text) - start > MIN_CHUNK_CHARACTERS:
        end = _END_OF_LINE.search(text, start + MIN_CHUNK_CHARACTERS - 1, start + MAX_CHUNK_CHARACTERS)
        stop = end.end() if end else start + MAX_CHUNK_CHARACTERS
        if stop >= len(text):
            break
        yield text[start:stop], end is not None
        start = stop
    yield text[start:], True


def _is_additive(tokenizer: Tokenizer) -> bool:
    """Whether a text has as many tokens as its lines together; false where each text gets a prefix token."""
    lines = ("def f(x):\n", "Return it.\n\n", "Обед\n", "晚上好。\n", "x = 1\n")
    return tokenizer.count("".join(lines)) == sum(map(tokenizer.count, lines))
