"""A file of a fixed size that all workers of a machine map into their memory: reads cost no system call."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.private_files import create_folder, open_private


class MappedFile:
    """The file. Every instance for the same path sees the same bytes; those that were never written are 0.

    Args:
        path: of the file.
        size: in bytes.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._descriptor = -1
        self._identity = (0, 0)
        """Device and inode."""
        self.memory: mmap.mmap | None = None
        """None while it is not open."""

    def open(self) -> None:
        """Creates what is missing.

        Raises:
            StartupError: the file cannot be used.
        """
        try:
            create_folder(self._path.parent)
            self._map()
        except OSError as error:
            raise StartupError(
                f"Cannot use {self._path}: {error.strerror}. "
                "Make it writable, or set state_dir to another directory."
            ) from None

    def close(self) -> None:
        """Releases the file. Safe without an open, and when called twice."""
        if self.memory is not None:
            self.memory.close()
            self.memory = None
            os.close(self._descriptor)
            self._descriptor = -1

    def reopen_if_gone(self) -> None:
        """Maps the file that is there now, where it was removed or replaced. OSError where that fails."""
        try:
            status = self._path.stat()
            gone = (status.st_dev, status.st_ino) != self._identity
        except FileNotFoundError:
            gone = True
        if gone:
            descriptor = self._descriptor
            # The old memory goes with its last reader, who may be in another thread.
            self._map()
            if descriptor >= 0:
                os.close(descriptor)

    @contextmanager
    def exclusive(self) -> Iterator[mmap.mmap]:
        """Locks out the changes of other processes. OSError where the file is not open."""
        descriptor = self._descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if self.memory is None:
                raise RuntimeError(f"{self._path} is not open")
            yield self.memory
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _map(self) -> None:
        descriptor = open_private(self._path, os.O_RDWR)
        try:
            status = os.fstat(descriptor)
            # Never shortened: another process may have it mapped. Written rather than extended: a write to a
            # mapped page for which the disk has no room would end the process.
            if status.st_size < self._size:
                os.pwrite(descriptor, bytes(self._size - status.st_size), status.st_size)
            self.memory = mmap.mmap(descriptor, self._size)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._identity = descriptor, (status.st_dev, status.st_ino)
