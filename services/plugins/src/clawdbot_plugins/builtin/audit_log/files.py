"""The files of the audit log: one for each day (UTC), written by all workers of a machine in turn.

Whoever appends holds a lock, looks where the chain ends, and writes one line with one call of the system.
Nothing that was written is changed; what is removed is only the beginning of a line that could not be
written whole.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from clawdbot_plugins.builtin.audit_log import chain
from clawdbot_plugins.builtin.audit_log.chain import Head

NAMES: Final = "audit-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].jsonl"
LOCK: Final = "lock"
LONGEST_LINE: Final = 64 * 1024
"""Bytes; a line of facts is about 500."""


class ChainUnreadable(Exception):
    """The last line is no link of a chain, so that nothing can be hung on it."""


class AuditFiles:
    """The log of one folder, open for appending. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Opens it. OSError when the folder cannot be written to."""
        self._folder = folder
        self._lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        self._known: tuple[Path, int, Head] | None = None
        """The file that this process wrote to last, its size after that, and the head."""
        self._log = structlog.get_logger(__name__)

    def append(self, moment: float, facts: Mapping[str, Any]) -> Head:
        """Writes one line and returns where the chain ends now.

        Args:
            moment: seconds since 1970, for the name of the file.
            facts: see chain.write.

        Raises:
            OSError: when it cannot be written; then nothing of it is left.
            ChainUnreadable: see there.
        """
        with locked(self._lock):
            files = self.files()
            path = self._path(moment, files)
            with _opened(path, os.O_CREAT | os.O_RDWR | os.O_APPEND) as descriptor:
                size = os.fstat(descriptor).st_size
                known = self._known
                head = known[2] if known and known[:2] == (path, size) else self._head({*files, path})
                line, head = chain.write(head, facts)
                _write_whole(descriptor, line)
                self._known = path, os.fstat(descriptor).st_size, head
        return head

    def head(self) -> Head:
        """Where the chain ends. Raises like append."""
        with locked(self._lock):
            return self._head(set(self.files()))

    def files(self) -> list[Path]:
        """All of them, the oldest first."""
        return sorted(self._folder.glob(NAMES))

    def sync(self) -> None:
        """Has the newest file reach the disk."""
        for path in self.files()[-1:]:
            with _opened(path, os.O_RDONLY) as descriptor:
                os.fsync(descriptor)

    def close(self) -> None:
        """Lets go of the folder."""
        os.close(self._lock)

    def _path(self, moment: float, files: list[Path]) -> Path:
        """Today's file; the newest one while the clock says that it is before that."""
        today = self._folder / f"audit-{dt.datetime.fromtimestamp(moment, dt.UTC):%Y-%m-%d}.jsonl"
        return max([today, *files], key=lambda path: path.name)

    def _head(self, files: set[Path]) -> Head:
        for path in sorted(files, reverse=True):
            with _opened(path, os.O_RDWR) as descriptor:
                last = self._last_line(path, descriptor)
            if last is not None:
                link = chain.read(last)
                if link is None:
                    raise ChainUnreadable(f"The audit log ends with a line that is none of its own: {path}")
                return link.head
        return chain.START

    def _last_line(self, path: Path, descriptor: int) -> bytes | None:
        """The last whole line; what a crash or a loss of power left of another one is removed."""
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, LONGEST_LINE, max(0, size - LONGEST_LINE))
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            self._log.warning("audit_line_torn", file=str(path), bytes=len(tail) - whole)
            os.ftruncate(descriptor, size - (len(tail) - whole))
        lines = tail[:whole]
        return lines[lines.rfind(b"\n", 0, whole - 1) + 1 :] if lines else None


@contextlib.contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Inside, no other process has the lock of the folder."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_whole(descriptor: int, line: bytes) -> None:
    before = os.fstat(descriptor).st_size
    if os.write(descriptor, line) < len(line):
        # A full disk takes a part.
        os.ftruncate(descriptor, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
