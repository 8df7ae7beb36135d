"""Limits in a SQLite file: exact across the workers of a machine, and what was used outlives restarts.

What running calls have reserved is kept by process. The reservations of processes that have died are found
by their locks (servicekit.process_locks), and removed where a limit would refuse a call.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from clawdbot_servicekit.process_locks import ProcessLocks
from clawdbot_servicekit.sqlite import SqliteExecutor, SqliteFile, execute_script
from typing_extensions import override

from clawdbot_model_gateway.core.limits.limit_store import (
    Charge,
    Full,
    LimitStore,
    LimitStoreUnavailable,
    Reservation,
    SavedCounters,
    Verdict,
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS used (
    bucket TEXT PRIMARY KEY,
    amount INTEGER NOT NULL,
    ends REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reserved (
    bucket TEXT NOT NULL,
    owner TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (bucket, owner)
) WITHOUT ROWID;
"""
TOTALS: Final = """
SELECT coalesce((SELECT amount FROM used WHERE bucket = :bucket), 0),
    coalesce((SELECT sum(amount) FROM reserved WHERE bucket = :bucket), 0)
"""
RESERVE: Final = """
INSERT INTO reserved VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount
"""
GIVE_BACK: Final = "UPDATE reserved SET amount = amount - ? WHERE bucket = ? AND owner = ?"
REMOVE_EMPTY: Final = "DELETE FROM reserved WHERE bucket = ? AND owner = ? AND amount = 0"
USE: Final = "INSERT INTO used VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
OWNERS: Final = "SELECT DISTINCT owner FROM reserved"
REMOVE_OWNER: Final = "DELETE FROM reserved WHERE owner = ?"
REMOVE_ENDED: Final = "DELETE FROM used WHERE ends <= ?"
LOAD: Final = "SELECT bucket, amount, ends FROM used WHERE ends > ?"

CHECK_INTERVAL: Final = 0.1
"""Seconds between two looks for dead processes, while a limit is reached."""
CLEAN_INTERVAL: Final = 60.0
"""Seconds between two removals of buckets that have ended."""


def _executor(folder: Path) -> SqliteExecutor:
    return SqliteExecutor(
        SqliteFile(
            folder / "limits.sqlite",
            title="store of limits",
            setting="state_dir",
            migrate=lambda connection: execute_script(connection, SCHEMA),
            synchronous="NORMAL",
            unavailable=LimitStoreUnavailable,
        )
    )


class SqliteLimitStore(LimitStore):
    """One for each process, all on one file.

    Args:
        folder: shared by the workers of one machine only.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._executor = _executor(folder)
        self._owners = ProcessLocks(folder / "limits")
        self._clock = clock
        self._checked_at = float("-inf")
        self._clean_at = float("-inf")

    @override
    async def start(self) -> None:
        self._owners.open()
        await self._executor.open()

    @override
    async def stop(self) -> None:
        await self._executor.close()
        self._owners.close()

    @override
    async def maintain(self) -> None:
        now = time.monotonic()
        if now >= self._clean_at:
            self._clean_at = now + CLEAN_INTERVAL
            await self._executor.run(self._remove_ended)

    @override
    def reserve(self, charges: Sequence[Charge]) -> asyncio.Future[Verdict]:
        return self._executor.run(lambda connection: self._reserve(connection, charges))

    @override
    def settle(self, reservation: Reservation, used: Sequence[int]) -> None:
        try:
            settled = self._executor.run(lambda connection: self._settle(connection, reservation, used))
        except LimitStoreUnavailable:
            return  # it is closed: the process ends, and its reservations with it
        # Nobody waits for it, and an error of the file shows with the next reservation.
        settled.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _reserve(self, connection: sqlite3.Connection, charges: Sequence[Charge]) -> Verdict:
        verdict = _try_to_reserve(connection, charges, self._owners.me)
        if isinstance(verdict, Full) and self._remove_dead(connection):
            verdict = _try_to_reserve(connection, charges, self._owners.me)
        return verdict

    def _settle(self, connection: sqlite3.Connection, reservation: Reservation, used: Sequence[int]) -> None:
        for charge, amount, spent in zip(reservation.charges, reservation.amounts, used, strict=True):
            if amount:
                connection.execute(GIVE_BACK, (amount, charge.bucket, self._owners.me))
                connection.execute(REMOVE_EMPTY, (charge.bucket, self._owners.me))
            if spent and charge.ends:
                connection.execute(USE, (charge.bucket, spent, charge.ends))

    def _remove_dead(self, connection: sqlite3.Connection) -> bool:
        """Frees what dead processes have reserved; returns whether there were any."""
        now = time.monotonic()
        if now - self._checked_at < CHECK_INTERVAL:
            return False
        self._checked_at = now
        dead = [owner for (owner,) in connection.execute(OWNERS) if self._owners.gone(owner)]
        for owner in dead:
            connection.execute(REMOVE_OWNER, (owner,))
        return bool(dead)

    def _remove_ended(self, connection: sqlite3.Connection) -> None:
        connection.execute(REMOVE_ENDED, (self._clock(),))


class SqliteSavedCounters(SavedCounters):
    """Saves the counters of a process that limits in its memory, in the same file and form.

    Args:
        folder: of the file.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._executor = _executor(folder)
        self._clock = clock

    @override
    async def start(self) -> None:
        await self._executor.open()

    @override
    async def stop(self) -> None:
        await self._executor.close()

    @override
    async def load(self) -> Mapping[str, tuple[int, float]]:
        def work(connection: sqlite3.Connection) -> dict[str, tuple[int, float]]:
            now = self._clock()
            connection.execute(REMOVE_ENDED, (now,))
            return {bucket: (amount, ends) for bucket, amount, ends in connection.execute(LOAD, (now,))}

        return await self._executor.run(work)

    @override
    async def add(self, used: Mapping[str, tuple[int, float]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(USE, [(bucket, *values) for bucket, values in used.items()])

        await self._executor.run(work)


def _try_to_reserve(connection: sqlite3.Connection, charges: Sequence[Charge], owner: str) -> Verdict:
    amounts, totals = [], []
    for place, charge in enumerate(charges):
        used, reserved = connection.execute(TOTALS, {"bucket": charge.bucket}).fetchone()
        total = used + reserved
        room = charge.limit - total
        if room < charge.least:
            return Full(place, total, used)
        amounts.append(min(charge.amount, room))
        totals.append(total + amounts[-1])
    rows = [(each.bucket, owner, amount) for each, amount in zip(charges, amounts, strict=True)]
    connection.executemany(RESERVE, rows)
    return Reservation(charges, amounts, totals)
