"""One line of the audit log, and how it is chained to the line before it.

A line is a JSON object without spaces whose last member is its hash:

    {"n":2,"time":"…","event":"turn_done",…,"previous":"<hash of line 1>","hash":"<this line's>"}

The hash is SHA-256, in lower-case hex, over the bytes of the line before `,"hash":`. These bytes contain the
hash of the previous line, so a change anywhere breaks the chain at that line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

GENESIS: Final = "0" * 64
"""The previous hash of the first line."""

_LINE: Final = re.compile(
    rb'(\{"n":([1-9][0-9]{0,17}),(?:.*,)?"previous":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"\}\n'
)


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a chain. A copy of it stored elsewhere proves a later truncation."""

    number: int
    hash: str


EMPTY_HEAD: Final = Head(0, GENESIS)
"""The head of a chain without lines."""


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One well-formed line."""

    number: int
    previous: str
    hash: str
    hash_matches: bool
    """Whether the hash matches the line's bytes."""

    @property
    def head(self) -> Head:
        """The head of a chain that ends with this line."""
        return Head(self.number, self.hash)


def encode_line(head: Head, facts: Mapping[str, Any]) -> tuple[bytes, Head]:
    """Encodes the next line. Returns it with its line break, and the head after it.

    Args:
        head: of the chain so far.
        facts: JSON values. The names n, previous and hash are reserved.
    """
    number = head.number + 1
    body = {"n": number, **facts, "previous": head.hash}
    hashed = json.dumps(body, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()[:-1]
    digest = _digest(hashed)
    return hashed + b',"hash":"' + digest.encode() + b'"}\n', Head(number, digest)


def decode_line(line: bytes) -> ChainLink | None:
    """Decodes a line with its line break; None if it does not have the format of one."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    hashed, number, previous, digest = match.groups()
    return ChainLink(int(number), previous.decode(), digest.decode(), digest.decode() == _digest(hashed))


def _digest(hashed: bytes) -> str:
    return hashlib.sha256(hashed).hexdigest()
