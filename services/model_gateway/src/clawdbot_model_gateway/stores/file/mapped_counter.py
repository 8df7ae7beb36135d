"""A number in a file that all workers of a machine map into their memory: reading it costs no system call."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.private_files import create_folder, open_private

COUNTER_BYTES: Final = 8


class MappedCounter:
    """The counter. Every instance for the same path sees the same. Before `open` it is 0."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._counter: mmap.mmap | None = None

    def open(self) -> None:
        """Creates what is missing.

        Raises:
            StartupError: the file cannot be used.
        """
        try:
            create_folder(self._path.parent)
            self._descriptor = open_private(self._path, os.O_RDWR)
            # Written rather than extended: a write to a mapped page for which the disk has no room would end
            # the process.
            if os.fstat(self._descriptor).st_size < COUNTER_BYTES:
                os.pwrite(self._descriptor, bytes(COUNTER_BYTES), 0)
            self._counter = mmap.mmap(self._descriptor, COUNTER_BYTES)
        except OSError as error:
            raise StartupError(
                f"Cannot use {self._path}: {error.strerror}. "
                "Make it writable, or set state_dir to another directory."
            ) from None

    def close(self) -> None:
        """Releases the file. Safe without an open, and when called twice."""
        if self._counter is not None:
            self._counter.close()
            self._counter = None
            os.close(self._descriptor)

    @property
    def value(self) -> int:
        """The current number."""
        return 0 if self._counter is None else int.from_bytes(self._counter[:COUNTER_BYTES])

    def increment(self) -> int:
        """Adds one, and returns the new number."""
        with self.exclusive():
            return self.increment_locked()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Locks out the changes of other processes. OSError where the counter is not open."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def increment_locked(self) -> int:
        """The same as `increment`, inside `exclusive`."""
        if self._counter is None:
            raise RuntimeError("the counter is not open")
        number = self.value + 1
        self._counter[:COUNTER_BYTES] = number.to_bytes(COUNTER_BYTES)
        return number
