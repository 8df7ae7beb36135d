"""Verifies the chain of an audit log and finds the first broken link.

A chain proves that nothing between two of its lines was changed, removed or inserted. On its own it cannot
prove that its end was not truncated, or that it was not rewritten as a whole: compare its head with one that
was stored elsewhere (the service logs `audit_head` at start and stop).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clawdbot_plugins.builtin.audit_log import chain
from clawdbot_plugins.builtin.audit_log.chain import Head
from clawdbot_plugins.builtin.audit_log.files import FILE_PATTERN, LOCK_FILE, MAX_LINE_BYTES, locked


@dataclass(frozen=True, slots=True)
class Verified:
    """An intact chain."""

    lines: int
    first: int
    """Number of the first line; more than 1 if older files were removed. 0 without lines."""
    head: Head
    """The last line."""


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first line that breaks the chain."""

    file: Path
    line: int
    """Line number in that file, from 1."""
    explanation: str
    """One sentence."""


def verify(folder: Path, known: Head | None = None) -> Verified | BrokenLink:
    """Verifies every line of the files in the folder, the oldest first.

    Args:
        folder: of the log: "<state_dir>/plugins/audit_log".
        known: a head that was stored before; the chain must still contain it.
    """
    head: Head | None = None
    first = lines = 0
    found_known = known is None or known == chain.EMPTY_HEAD
    last_position = (folder, 0)
    for path, number, line in _lines(folder):
        link = chain.decode_line(line)
        if link is None or not link.hash_matches:
            what = "is not a line of an audit log" if link is None else "was changed after it was written"
            return BrokenLink(path, number, f"The line {what}.")
        if head is not None and (link.previous, link.number) != (head.hash, head.number + 1):
            return BrokenLink(
                path, number, "The line does not follow the one before it: a line was removed or inserted."
            )
        if head is None:
            first = link.number
            if first == 1 and link.previous != chain.GENESIS:
                return BrokenLink(path, number, "The first line refers to a line before it.")
        head, lines, last_position = link.head, lines + 1, (path, number)
        found_known = found_known or head == known
    if not found_known and known is not None:
        return BrokenLink(*last_position, f"The known line {known.number} is missing.")
    return Verified(lines, first, head or chain.EMPTY_HEAD)


def _lines(folder: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Yields the file, line number and bytes of each line; a line above MAX_LINE_BYTES is split."""
    for path, size in _sizes(folder):
        with path.open("rb") as file:
            number = 0
            while file.tell() < size and (line := file.readline(MAX_LINE_BYTES)):
                number += 1
                yield path, number, line


def _sizes(folder: Path) -> list[tuple[Path, int]]:
    """Returns the files with their sizes, taken under the lock, so that later appends are ignored."""
    with contextlib.ExitStack() as stack:
        # A copy elsewhere has no lock file and no writer.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR)
            stack.callback(os.close, descriptor)
            stack.enter_context(locked(descriptor))
        return [(path, path.stat().st_size) for path in sorted(folder.glob(FILE_PATTERN))]
