"""The files of the audit log: one for each day (UTC), to which all workers of a machine append.

An append takes a lock, finds the end of the chain, and writes one line with one system call. What was written
is never changed. The only thing removed is the start of a line that could not be written completely.
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
from clawdbot_servicekit.private_files import open_private

from clawdbot_plugins.builtin.audit_log import chain
from clawdbot_plugins.builtin.audit_log.chain import Head

FILE_PATTERN: Final = "audit-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].jsonl"
LOCK_FILE: Final = "lock"
MAX_LINE_BYTES: Final = 64 * 1024
"""A typical line has about 500."""


class ChainUnreadable(Exception):
    """The last line is not a link of a chain, so no line can be appended."""


class AuditFiles:
    """The log of one folder, open for appending. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Opens the log. OSError if the folder is not writable."""
        self._folder = folder
        self._lock = open_private(folder / LOCK_FILE, os.O_RDWR)
        self._known: tuple[Path, int, Head] | None = None
        """The file that this process wrote to last, its size after that, and the head."""
        self._log = structlog.get_logger(__name__)

    def append(self, timestamp: float, facts: Mapping[str, Any]) -> Head:
        """Appends one line and returns the new head.

        Args:
            timestamp: seconds since 1970; it decides the file.
            facts: see chain.encode_line.

        Raises:
            OSError: the line could not be written; no part of it is left in the file.
            ChainUnreadable: the last line is not a link of a chain.
        """
        with locked(self._lock):
            files = self.files()
            path = self._path(timestamp, files)
            with _open_file(path, os.O_CREAT | os.O_RDWR | os.O_APPEND) as descriptor:
                size = os.fstat(descriptor).st_size
                known = self._known
                head = known[2] if known and known[:2] == (path, size) else self._head({*files, path})
                line, head = chain.encode_line(head, facts)
                _write_line(descriptor, line)
                self._known = path, os.fstat(descriptor).st_size, head
        return head

    def head(self) -> Head:
        """Returns the current head. Raises like append."""
        with locked(self._lock):
            return self._head(set(self.files()))

    def files(self) -> list[Path]:
        """Returns all files, the oldest first."""
        return sorted(self._folder.glob(FILE_PATTERN))

    def sync(self) -> None:
        """Flushes the newest file to the disk."""
        for path in self.files()[-1:]:
            with _open_file(path, os.O_RDONLY) as descriptor:
                os.fsync(descriptor)

    def close(self) -> None:
        """Closes the lock file."""
        os.close(self._lock)

    def _path(self, timestamp: float, files: list[Path]) -> Path:
        """Today's file, or the newest one if the clock was set back to before it."""
        today = self._folder / f"audit-{dt.datetime.fromtimestamp(timestamp, dt.UTC):%Y-%m-%d}.jsonl"
        return max([today, *files], key=lambda path: path.name)

    def _head(self, files: set[Path]) -> Head:
        for path in sorted(files, reverse=True):
            with _open_file(path, os.O_RDWR) as descriptor:
                last = self._last_line(path, descriptor)
            if last is not None:
                link = chain.decode_line(last)
                if link is None:
                    raise ChainUnreadable(f"The last line of {path} is not a line of an audit log")
                return link.head
        return chain.EMPTY_HEAD

    def _last_line(self, path: Path, descriptor: int) -> bytes | None:
        """Returns the last complete line. Removes a partial line that a crash or power loss left behind."""
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, MAX_LINE_BYTES, max(0, size - MAX_LINE_BYTES))
        complete = tail.rfind(b"\n") + 1
        if complete < len(tail):
            self._log.warning("audit_line_torn", file=str(path), bytes=len(tail) - complete)
            os.ftruncate(descriptor, size - (len(tail) - complete))
        lines = tail[:complete]
        return lines[lines.rfind(b"\n", 0, complete - 1) + 1 :] if lines else None


@contextlib.contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Holds the folder's lock, which excludes other processes."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def _open_file(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_line(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if os.write(descriptor, line) < len(line):
        # A full disk accepts a part of the line.
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
