"""A number that all workers of a machine share: reading it costs no system call."""

from __future__ import annotations

from contextlib import AbstractContextManager
from mmap import mmap
from pathlib import Path
from typing import Final

from clawdbot_model_gateway.stores.file.mapped_file import MappedFile

COUNTER_BYTES: Final = 8


class MappedCounter:
    """The counter. Every instance for the same path sees the same. Before `open` it is 0."""

    def __init__(self, path: Path) -> None:
        self._file = MappedFile(path, COUNTER_BYTES)

    def open(self) -> None:
        """Creates what is missing. StartupError where the file cannot be used."""
        self._file.open()

    def close(self) -> None:
        """Releases the file. Safe without an open, and when called twice."""
        self._file.close()

    def reopen_if_gone(self) -> None:
        """Maps the file that is there now, where it was removed or replaced. OSError where that fails."""
        self._file.reopen_if_gone()

    @property
    def is_open(self) -> bool:
        """Whether the file is mapped."""
        return self._file.memory is not None

    @property
    def value(self) -> int:
        """The current number."""
        memory = self._file.memory
        return 0 if memory is None else int.from_bytes(memory[:COUNTER_BYTES])

    def increment(self) -> int:
        """Adds one, and returns the new number."""
        with self.exclusive() as memory:
            return increment_locked(memory)

    def exclusive(self) -> AbstractContextManager[mmap]:
        """Locks out the changes of other processes, for `increment_locked`. OSError where it is not open."""
        return self._file.exclusive()


def increment_locked(memory: mmap, place: int = 0) -> int:
    """Adds one to the counter at a place of a file that is locked, and returns the new number."""
    number = int.from_bytes(memory[place : place + COUNTER_BYTES]) + 1
    memory[place : place + COUNTER_BYTES] = number.to_bytes(COUNTER_BYTES)
    return number
