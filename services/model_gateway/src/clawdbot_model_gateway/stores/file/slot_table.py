"""A backend's slots in a file that all workers of a machine map: together they take no more than its limit.

Each process has a row with the slots that it has taken and the requests that wait in it. The rows of dead
processes are found by their locks (servicekit.process_locks) and count no more.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from struct import Struct
from typing import Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.process_locks import ProcessLocks
from typing_extensions import override

from clawdbot_model_gateway.core.scheduling.scheduler import SharedSlots
from clawdbot_model_gateway.stores.file.mapped_file import MappedFile

ROW: Final = Struct("=8sII")
"""The process's id, its taken slots, its waiting requests."""
MAX_ROWS: Final = 1024
"""Processes: twice the most workers that a server has, as new ones may start before old ones have ended."""
NEVER_USED: Final = bytes(8)
"""In place of the id."""
FREED: Final = b"\xff" * 8
"""In place of the id: no process has it. It is not NEVER_USED, since rows that follow are in use."""
CHECK_INTERVAL: Final = 0.1
"""Seconds between two looks for dead processes, while no slot is free."""

Rows = list[tuple[bytes, int, int]]


class SlotTable(SharedSlots):
    """The slots of one backend.

    Its calls run on the event loop: each locks the file for some microseconds. After `close`, when the last
    calls of this process end, nothing is taken and nothing has to be given back.

    Args:
        path: the file; the same for all processes that share the slots.
        locks: tell which processes are alive. Open while the table is.
        clock: the time in seconds.
    """

    def __init__(self, path: Path, locks: ProcessLocks, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._locks = locks
        self._clock = clock
        self._me = bytes.fromhex(locks.me)
        self._file = MappedFile(path, ROW.size * MAX_ROWS)
        self._row = 0
        """Number of this process's row."""
        self._checked_at = float("-inf")

    def open(self) -> None:
        """Maps the file and takes a row. StartupError for an unusable folder, or where no row is free."""
        self._file.open()
        with self._file.exclusive() as table:
            for number in range(MAX_ROWS):
                owner, _, _ = ROW.unpack_from(table, number * ROW.size)
                if owner in (NEVER_USED, FREED) or self._locks.gone(owner.hex()):
                    self._row = number
                    self._write(table, number, 0, 0)
                    return
        raise StartupError(f"More than {MAX_ROWS} processes share {self._path}: lower server.workers.")

    def close(self) -> None:
        """Frees the slots and the row of this process. Safe twice."""
        if self._file.memory is not None:
            with self._file.exclusive() as table:
                ROW.pack_into(table, self._row * ROW.size, FREED, 0, 0)
            self._file.close()

    @override
    def take(self, limit: int, waiting: int) -> bool:
        if self._file.memory is None:
            return False
        with self._file.exclusive() as table:
            rows = _rows(table)
            granted = self._may_take(rows, limit, waiting)
            if not granted and self._clear_dead(table, rows):
                granted = self._may_take(_rows(table), limit, waiting)
            self._write(table, self._row, rows[self._row][1] + granted, max(0, waiting - granted))
            return granted

    @override
    def give_back(self) -> None:
        if self._file.memory is None:
            return
        with self._file.exclusive() as table:
            _, taken, waiting = ROW.unpack_from(table, self._row * ROW.size)
            self._write(table, self._row, taken - 1, waiting)

    @override
    def stop_waiting(self) -> None:
        if self._file.memory is None:
            return
        with self._file.exclusive() as table:
            _, taken, _ = ROW.unpack_from(table, self._row * ROW.size)
            self._write(table, self._row, taken, 0)

    def _may_take(self, rows: Rows, limit: int, waiting: int) -> bool:
        """Whether a slot is free, and this process has less than its part of them by what all of them need.

        The parts add up to the limit, so while a slot is free some process with waiting requests may take it.
        """
        if sum(taken for _, taken, _ in rows) >= limit:
            return False
        others = [row for number, row in enumerate(rows) if number != self._row]
        if not any(more for _, _, more in others):
            return True
        mine = rows[self._row][1]
        need = mine + max(1, waiting)
        return mine * (need + sum(taken + more for _, taken, more in others)) < limit * need

    def _clear_dead(self, table: mmap.mmap, rows: Rows) -> bool:
        """Frees the slots of dead processes; returns whether there were any."""
        now = self._clock()
        if now - self._checked_at < CHECK_INTERVAL:
            return False
        self._checked_at = now
        dead = [
            number
            for number, (owner, taken, waiting) in enumerate(rows)
            if taken + waiting and self._locks.gone(owner.hex())
        ]
        for number in dead:
            ROW.pack_into(table, number * ROW.size, rows[number][0], 0, 0)
        return bool(dead)

    def _write(self, table: mmap.mmap, number: int, taken: int, waiting: int) -> None:
        ROW.pack_into(table, number * ROW.size, self._me, taken, waiting)


def _rows(table: mmap.mmap) -> Rows:
    """All rows that were ever used: the first ones, as each process takes the first that it can."""
    return [*takewhile(lambda row: row[0] != NEVER_USED, ROW.iter_unpack(table))]
