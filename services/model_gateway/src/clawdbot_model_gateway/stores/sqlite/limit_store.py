"""Limits in a SQLite file: exact across the workers of a machine, and what was used outlives restarts.

What running calls have reserved is kept by process. The reservations of processes that were killed are found
by their locks (servicekit.process_locks), once a minute and where a limit would refuse a call. They count as
used.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
    Saved,
    SavedCounters,
    Verdict,
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS used (
    bucket TEXT PRIMARY KEY,
    amount INTEGER NOT NULL,
    ends REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    bucket TEXT NOT NULL,
    owner TEXT NOT NULL,
    amount INTEGER NOT NULL,
    ends REAL NOT NULL,
    PRIMARY KEY (bucket, owner)
) WITHOUT ROWID;
"""
TOTALS: Final = """
SELECT coalesce((SELECT amount FROM used WHERE bucket = :bucket), 0),
    coalesce((SELECT sum(amount) FROM reservations WHERE bucket = :bucket), 0)
"""
RESERVE: Final = """
INSERT INTO reservations VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount
"""
SET_RESERVED: Final = """
INSERT INTO reservations VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET amount = excluded.amount
"""
GIVE_BACK: Final = "UPDATE reservations SET amount = amount - ? WHERE bucket = ? AND owner = ?"
REMOVE_EMPTY: Final = "DELETE FROM reservations WHERE bucket = ? AND owner = ? AND amount = 0"
PAY_OWNER: Final = """
INSERT INTO used SELECT bucket, amount, ends FROM reservations WHERE owner = ? AND ends > 0
ON CONFLICT DO UPDATE SET amount = amount + excluded.amount
"""
USE: Final = "INSERT INTO used VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
OWNERS: Final = "SELECT DISTINCT owner FROM reservations"
REMOVE_OWNER: Final = "DELETE FROM reservations WHERE owner = ?"
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

    @property
    @override
    def answers(self) -> bool:
        return True

    @override
    async def start(self) -> None:
        self._owners.open()
        await self._executor.open()

    @override
    async def stop(self) -> None:
        await _forget(self._executor, self._owners)
        await self._executor.close()
        self._owners.close()

    @override
    async def maintain(self) -> None:
        now = time.monotonic()
        if now >= self._clean_at:
            self._clean_at = now + CLEAN_INTERVAL
            await self._executor.run(self._clean)

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
        now = time.monotonic()
        if isinstance(verdict, Full) and now - self._checked_at >= CHECK_INTERVAL:
            self._checked_at = now
            _pay_for_dead(connection, self._owners)
            verdict = _try_to_reserve(connection, charges, self._owners.me)
        return verdict

    def _settle(self, connection: sqlite3.Connection, reservation: Reservation, used: Sequence[int]) -> None:
        for charge, amount, spent in zip(reservation.charges, reservation.amounts, used, strict=True):
            if amount:
                connection.execute(GIVE_BACK, (amount, charge.bucket, self._owners.me))
                connection.execute(REMOVE_EMPTY, (charge.bucket, self._owners.me))
            if spent and charge.ends:
                connection.execute(USE, (charge.bucket, spent, charge.ends))

    def _clean(self, connection: sqlite3.Connection) -> None:
        _pay_for_dead(connection, self._owners)
        connection.execute(REMOVE_ENDED, (self._clock(),))


class SqliteSavedCounters(SavedCounters):
    """Saves the counters of a process that limits in its memory, in the same file and form.

    Args:
        folder: of the file.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._executor = _executor(folder)
        self._owners = ProcessLocks(folder / "limits")
        self._clock = clock

    @override
    async def start(self) -> None:
        self._owners.open()
        await self._executor.open()

    @override
    async def stop(self) -> None:
        await _forget(self._executor, self._owners)
        await self._executor.close()
        self._owners.close()

    @override
    async def load(self) -> Mapping[str, tuple[int, float]]:
        def work(connection: sqlite3.Connection) -> dict[str, tuple[int, float]]:
            now = self._clock()
            _pay_for_dead(connection, self._owners)
            connection.execute(REMOVE_ENDED, (now,))
            return {bucket: (amount, ends) for bucket, amount, ends in connection.execute(LOAD, (now,))}

        return await self._executor.run(work)

    @override
    async def save(self, counters: Mapping[str, Saved]) -> None:
        me = self._owners.me
        used = [(name, each.used, each.ends) for name, each in counters.items() if each.used]
        reserved = [(name, me, each.reserved, each.ends) for name, each in counters.items()]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(USE, used)
            connection.executemany(SET_RESERVED, reserved)
            connection.executemany(REMOVE_EMPTY, [(name, me) for name in counters])

        await self._executor.run(work)


async def _forget(executor: SqliteExecutor, owners: ProcessLocks) -> None:
    """Removes what calls have reserved that did not end with the process; a kill would have them paid."""
    with suppress(LimitStoreUnavailable):
        await executor.run(lambda connection: connection.execute(REMOVE_OWNER, (owners.me,)))


def _pay_for_dead(connection: sqlite3.Connection, owners: ProcessLocks) -> None:
    """What processes had reserved that were killed counts as used; calls at the same time are free."""
    for owner in [owner for (owner,) in connection.execute(OWNERS) if owners.gone(owner)]:
        connection.execute(PAY_OWNER, (owner,))
        connection.execute(REMOVE_OWNER, (owner,))


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
    rows = [(each.bucket, owner, amount, each.ends) for each, amount in zip(charges, amounts, strict=True)]
    connection.executemany(RESERVE, rows)
    return Reservation(charges, amounts, totals)
