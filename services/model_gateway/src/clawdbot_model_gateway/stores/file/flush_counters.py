"""Counts the flushes of the cache of replies, in a file that all workers of a machine map into their memory.

A look-up compares counters instead of asking other workers, and costs no system call. A counter stands for
many tenants and targets: a flush may remove more than it was asked to, and never less.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from functools import lru_cache
from pathlib import Path
from typing import Final
from zlib import crc32

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.private_files import create_folder, open_private

COUNTER_BYTES: Final = 8
COUNTERS: Final = 4096
FILE_BYTES: Final = COUNTERS * COUNTER_BYTES


class FlushCounters:
    """The counters. Every instance for the same path sees the same."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._counters = mmap.mmap(-1, FILE_BYTES)

    def open(self) -> None:
        """Creates what is missing.

        Raises:
            StartupError: the file cannot be used.
        """
        try:
            create_folder(self._path.parent)
            self._descriptor = open_private(self._path, os.O_RDWR)
            size = os.fstat(self._descriptor).st_size
            # Never shortened: another process may have it mapped. Written rather than extended: a write to a
            # mapped page for which the disk has no room would end the process.
            if size < FILE_BYTES:
                os.pwrite(self._descriptor, bytes(FILE_BYTES - size), size)
            self._counters.close()
            self._counters = mmap.mmap(self._descriptor, FILE_BYTES)
        except OSError as error:
            raise StartupError(
                f"Cannot use {self._path}: {error.strerror}. "
                "Make it writable, or set state_dir to another directory."
            ) from None

    def close(self) -> None:
        """Releases the file. Safe without an open, and when called twice."""
        if self._descriptor is not None:
            self._counters.close()
            self._counters = mmap.mmap(-1, FILE_BYTES)
            os.close(self._descriptor)
            self._descriptor = None

    def stamp(self, tenant: str, target: str) -> bytes:
        """Differs after each flush that concerns the tenant and the target."""
        counters = self._counters
        return b"".join(
            [counters[place : place + COUNTER_BYTES] for place in _places_of_flushes(tenant, target)]
        )

    def count(self, tenant: str, target: str) -> None:
        """Counts a flush of a tenant (empty: all) and a target (empty: all)."""
        place = _place(tenant, target)
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            number = int.from_bytes(self._counters[place : place + COUNTER_BYTES]) + 1
            self._counters[place : place + COUNTER_BYTES] = number.to_bytes(COUNTER_BYTES)
        finally:
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)


@lru_cache(maxsize=4096)
def _places_of_flushes(tenant: str, target: str) -> tuple[int, ...]:
    """The counters of all flushes that concern them."""
    return tuple(sorted({_place(*each) for each in (("", ""), (tenant, ""), ("", target), (tenant, target))}))


def _place(tenant: str, target: str) -> int:
    return crc32(f"{tenant}\0{target}".encode()) % COUNTERS * COUNTER_BYTES
