"""The bookings: which table is taken when, in a SQLite file that all workers of a machine share.

A reservation is one transaction: it finds the smallest free table that is large enough and books it. Each
tenant has its own restaurant.
"""

from __future__ import annotations

import datetime as dt
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clawdbot_plugin_sdk import Unavailable
from clawdbot_servicekit.sqlite import SqliteExecutor, SqliteFile, execute_script

from clawdbot_plugins.builtin.tables.settings import TablesSettings, minutes_since_midnight

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS bookings (
    tenant TEXT NOT NULL,
    ref TEXT NOT NULL,
    request_id TEXT,
    day TEXT NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    place INTEGER NOT NULL,
    party_size INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (tenant, ref)
);
CREATE UNIQUE INDEX IF NOT EXISTS bookings_by_request ON bookings (tenant, request_id);
CREATE INDEX IF NOT EXISTS bookings_by_day ON bookings (tenant, day);
"""
"""begins, ends: minutes since midnight. place: the table's index in the settings."""

SELECT_BY_REQUEST_ID: Final = "SELECT ref FROM bookings WHERE tenant = ? AND request_id = ?"
SELECT_DAY: Final = "SELECT place, begins, ends FROM bookings WHERE tenant = ? AND day = ?"
SELECT_BY_REF: Final = "SELECT 1 FROM bookings WHERE tenant = ? AND ref = ?"
INSERT_BOOKING: Final = "INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

REF_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 characters, without those that are easily confused: 0 and O, 1 and I."""


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """A request for a table."""

    tenant: str
    party_size: int
    day: dt.date
    time: dt.time
    name: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class DaySchedule:
    """The bookings of one day."""

    taken: Sequence[tuple[int, int, int]]
    """Table index, start and end, in minutes since midnight."""

    def is_free(self, table: int, begins: int, ends: int) -> bool:
        """Whether no booking of the table overlaps the interval."""
        return not any(
            taken_table == table and begins < taken_end and taken_begin < ends
            for taken_table, taken_begin, taken_end in self.taken
        )


class Inventory:
    """All bookings of this machine. Created by `open`, ended by `close`.

    Every other method raises Unavailable while the file cannot be used.
    """

    def __init__(self, executor: SqliteExecutor, settings: TablesSettings) -> None:
        self._executor = executor
        self._settings = settings

    @classmethod
    async def open(cls, folder: Path, settings: TablesSettings) -> Inventory:
        """Opens the file in the folder. StartupError if it cannot be used."""
        executor = SqliteExecutor(
            SqliteFile(
                folder / "bookings.sqlite",
                title="store of bookings",
                setting="state_dir",
                migrate=lambda connection: execute_script(connection, SCHEMA),
                unavailable=Unavailable,
            )
        )
        await executor.open()
        return cls(executor, settings)

    async def find_reservation(self, request: ReservationRequest) -> str | None:
        """Returns the reference of an earlier reservation with the same request id; None if there is none."""
        return await self._executor.run(lambda connection: _find_reservation(connection, request))

    async def reserve(self, request: ReservationRequest) -> str | None:
        """Books a table and returns its reference; None if none is free. Idempotent by request id."""
        return await self._executor.run(lambda connection: self._reserve(connection, request))

    async def free_times(self, request: ReservationRequest, times: Iterable[dt.time]) -> list[dt.time]:
        """Returns those times of the requested day at which a table is free for the party."""
        schedule = await self._executor.run(lambda connection: _day_schedule(connection, request))
        return [
            time
            for time in times
            if self._smallest_free_table(schedule, request.party_size, time) is not None
        ]

    async def check(self) -> None:
        """Raises Unavailable if bookings cannot be read or written."""
        await self._executor.check()

    async def close(self) -> None:
        """Closes the file."""
        await self._executor.close()

    def _reserve(self, connection: sqlite3.Connection, request: ReservationRequest) -> str | None:
        if existing := _find_reservation(connection, request):
            return existing
        schedule = _day_schedule(connection, request)
        table = self._smallest_free_table(schedule, request.party_size, request.time)
        if table is None:
            return None
        ref = _new_ref(connection, request.tenant)
        row = (
            *(request.tenant, ref, request.request_id or None, request.day.isoformat()),
            *(*self._interval(request.time), table, request.party_size, request.name),
        )
        connection.execute(INSERT_BOOKING, row)
        return ref

    def _smallest_free_table(self, schedule: DaySchedule, party_size: int, time: dt.time) -> int | None:
        begins, ends = self._interval(time)
        tables = self._tables_by_size(party_size)
        return next((table for table in tables if schedule.is_free(table, begins, ends)), None)

    def _tables_by_size(self, party_size: int) -> Iterator[int]:
        """Yields the tables that are large enough, the smallest first."""
        seats = self._settings.tables
        for table in sorted(range(len(seats)), key=lambda index: seats[index]):
            if seats[table] >= party_size:
                yield table

    def _interval(self, time: dt.time) -> tuple[int, int]:
        begins = minutes_since_midnight(time)
        return begins, begins + self._settings.stay_minutes


def _find_reservation(connection: sqlite3.Connection, request: ReservationRequest) -> str | None:
    if not request.request_id:
        return None
    row = connection.execute(SELECT_BY_REQUEST_ID, (request.tenant, request.request_id)).fetchone()
    return None if row is None else str(row[0])


def _new_ref(connection: sqlite3.Connection, tenant: str) -> str:
    while True:
        ref = "T-" + "".join(REF_ALPHABET[each % len(REF_ALPHABET)] for each in secrets.token_bytes(6))
        if connection.execute(SELECT_BY_REF, (tenant, ref)).fetchone() is None:
            return ref


def _day_schedule(connection: sqlite3.Connection, request: ReservationRequest) -> DaySchedule:
    return DaySchedule(connection.execute(SELECT_DAY, (request.tenant, request.day.isoformat())).fetchall())
