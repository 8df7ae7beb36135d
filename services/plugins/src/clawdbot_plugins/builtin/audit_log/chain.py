"""One line of the audit log, and how it hangs on the line before it.

A line is a JSON object without spaces whose last member is the hash:

    {"n":2,"time":"…","event":"turn_done",…,"previous":"<hash of line 1>","hash":"<this line's>"}

The hash is SHA-256, in lower-case hex, over the bytes of the line up to `,"hash":` (that is without it). As
these bytes hold the hash of the line before, a change anywhere breaks the chain at that line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

GENESIS: Final = "0" * 64
"""What stands for the hash before the first line."""

_LINE: Final = re.compile(
    rb'(\{"n":([1-9][0-9]{0,17}),(?:.*,)?"previous":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"\}\n'
)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: write it down elsewhere, and a later cut can be proved."""

    number: int
    hash: str


START: Final = Head(0, GENESIS)
"""The head of a chain without lines."""


@dataclass(frozen=True, slots=True)
class Link:
    """One well-formed line."""

    number: int
    previous: str
    hash: str
    sound: bool
    """Whether the hash is that of the line's bytes."""

    @property
    def head(self) -> Head:
        """The head of the chain that this line ends."""
        return Head(self.number, self.hash)


def write(head: Head, facts: Mapping[str, Any]) -> tuple[bytes, Head]:
    """The next line with its line break, and the head after it.

    Args:
        head: of the chain so far.
        facts: JSON values under other names than n, previous and hash.
    """
    number = head.number + 1
    body = {"n": number, **facts, "previous": head.hash}
    bare = json.dumps(body, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()[:-1]
    digest = _digest(bare)
    return bare + b',"hash":"' + digest.encode() + b'"}\n', Head(number, digest)


def read(line: bytes) -> Link | None:
    """The line, with its line break, as a link; None where it does not have the form of one."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    bare, number, previous, digest = match.groups()
    return Link(int(number), previous.decode(), digest.decode(), digest.decode() == _digest(bare))


def _digest(bare: bytes) -> str:
    return hashlib.sha256(bare).hexdigest()
