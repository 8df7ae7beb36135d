"""Counts the flushes of the cache of replies, in a file that all workers of a machine map into their memory.

A look-up compares counters instead of asking other workers, and costs no system call. A counter stands for
many tenants and targets: a flush may remove more than it was asked to, and never less.
"""

from __future__ import annotations

import mmap
from functools import lru_cache
from pathlib import Path
from typing import Final
from zlib import crc32

from clawdbot_model_gateway.stores.file.mapped_counter import COUNTER_BYTES, increment_locked
from clawdbot_model_gateway.stores.file.mapped_file import MappedFile

COUNTERS: Final = 4096
FILE_BYTES: Final = COUNTERS * COUNTER_BYTES


class FlushCounters:
    """The counters. Every instance for the same path sees the same."""

    def __init__(self, path: Path) -> None:
        self._file = MappedFile(path, FILE_BYTES)
        self._own = mmap.mmap(-1, FILE_BYTES)
        """Counts while the file is not open."""

    def open(self) -> None:
        """Creates what is missing. StartupError where the file cannot be used."""
        self._file.open()

    def close(self) -> None:
        """Releases the file. Safe without an open, and when called twice."""
        self._file.close()

    def stamp(self, tenant: str, target: str) -> bytes:
        """Differs after each flush that concerns the tenant and the target."""
        counters = self._file.memory or self._own
        return b"".join(
            [counters[place : place + COUNTER_BYTES] for place in _places_of_flushes(tenant, target)]
        )

    def count(self, tenant: str, target: str) -> None:
        """Counts a flush of a tenant (empty: all) and a target (empty: all)."""
        place = _place(tenant, target)
        if self._file.memory is None:
            increment_locked(self._own, place)
            return
        with self._file.exclusive() as counters:
            increment_locked(counters, place)


@lru_cache(maxsize=4096)
def _places_of_flushes(tenant: str, target: str) -> tuple[int, ...]:
    """The counters of all flushes that concern them."""
    return tuple(sorted({_place(*each) for each in (("", ""), (tenant, ""), ("", target), (tenant, target))}))


def _place(tenant: str, target: str) -> int:
    return crc32(f"{tenant}\0{target}".encode()) % COUNTERS * COUNTER_BYTES
