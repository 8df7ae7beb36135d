"""Checks the chain of an audit log and finds the first link that does not hold.

A chain proves that what lies between two of its lines was not changed, removed or put in. It cannot prove
alone that nothing was cut off at its end, or that it was not made anew as a whole: compare its head with
one that was written down elsewhere (the service logs `audit_head` at start and stop).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clawdbot_plugins.builtin.audit_log import chain
from clawdbot_plugins.builtin.audit_log.chain import Head
from clawdbot_plugins.builtin.audit_log.files import LOCK, LONGEST_LINE, NAMES, locked


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain that holds."""

    lines: int
    first: int
    """Number of the first line; more than 1 where older files were taken away. 0 without lines."""
    head: Head
    """Where it ends."""


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first line that does not hold."""

    file: Path
    line: int
    """Counted from 1, in that file."""
    explanation: str
    """One sentence."""


def verify(folder: Path, known: Head | None = None) -> Verified | BrokenLink:
    """Checks every line of the files in the folder, oldest first.

    Args:
        folder: of the log: "<state_dir>/plugins/audit_log".
        known: a head that was written down before: the chain must still contain it.
    """
    head: Head | None = None
    first = lines = 0
    found_known = known is None or known == chain.START
    last_place = (folder, 0)
    for path, number, line in _lines(folder):
        link = chain.read(line)
        if link is None or not link.sound:
            what = "is not a line of an audit log" if link is None else "was changed after it was written"
            return BrokenLink(path, number, f"The line {what}.")
        if head is not None and (link.previous, link.number) != (head.hash, head.number + 1):
            return BrokenLink(
                path, number, "The line does not follow the one before it: something was removed."
            )
        if head is None:
            first = link.number
            if first == 1 and link.previous != chain.GENESIS:
                return BrokenLink(path, number, "The first line claims that there was one before it.")
        head, lines, last_place = link.head, lines + 1, (path, number)
        found_known = found_known or head == known
    if not found_known and known is not None:
        return BrokenLink(*last_place, f"The line {known.number} that was known is no longer there.")
    return Verified(lines, first, head or chain.START)


def _lines(folder: Path) -> Iterator[tuple[Path, int, bytes]]:
    """File, line number and bytes of each line; one longer than any of ours is cut."""
    for path, size in _sizes(folder):
        with path.open("rb") as file:
            number = 0
            while file.tell() < size and (line := file.readline(LONGEST_LINE)):
                number += 1
                yield path, number, line


def _sizes(folder: Path) -> list[tuple[Path, int]]:
    """The files as they are now: while they are read, more may be written, and a last line be half there."""
    with contextlib.ExitStack() as stack:
        # A copy elsewhere has no lock, and nobody who writes.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder / LOCK, os.O_RDWR)
            stack.callback(os.close, descriptor)
            stack.enter_context(locked(descriptor))
        return [(path, path.stat().st_size) for path in sorted(folder.glob(NAMES))]
