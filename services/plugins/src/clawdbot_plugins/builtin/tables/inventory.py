"""Which table is taken when, in a SQLite file that all workers of a machine share.

A reservation is one transaction: it looks for the smallest free table that is large enough and takes it.
Each tenant has a restaurant of its own.
"""

from __future__ import annotations

import datetime as dt
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clawdbot_plugins.builtin.tables.settings import TablesSettings, minutes
from clawdbot_plugins.stores.sqlite.database import Database

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
"""begins, ends: minutes since midnight. place: which table, counted from 0 in the settings."""

REPEATED: Final = "SELECT ref FROM bookings WHERE tenant = ? AND request_id = ?"
OF_DAY: Final = "SELECT place, begins, ends FROM bookings WHERE tenant = ? AND day = ?"
IN_USE: Final = "SELECT 1 FROM bookings WHERE tenant = ? AND ref = ?"
TAKE: Final = "INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Of a reference: none that is mistaken for another when it is read aloud."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants a table when."""

    tenant: str
    party_size: int
    day: dt.date
    time: dt.time
    name: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Day:
    """What is taken on one day: (table, from, to)."""

    taken: Sequence[tuple[int, int, int]]

    def free(self, place: int, begins: int, ends: int) -> bool:
        """Whether nobody sits at the table in that time."""
        return not any(table == place and begins < to and start < ends for table, start, to in self.taken)


class Inventory:
    """The bookings of this machine. Made by `open`, ended by `close`."""

    def __init__(self, database: Database, settings: TablesSettings) -> None:
        self._database = database
        self._settings = settings

    @classmethod
    async def open(cls, folder: Path, settings: TablesSettings) -> Inventory:
        """Opens the file in the folder. StartupError when it cannot be used."""
        return cls(await Database.open(folder / "bookings.sqlite", SCHEMA), settings)

    async def known(self, wish: Wish) -> str | None:
        """The reference of an earlier reservation with the wish's request id; None where there is none."""
        return await self._database.run(lambda connection: _known(connection, wish))

    async def reserve(self, wish: Wish) -> str | None:
        """Takes a table and returns the reference; None where none is free. A repeated wish gets its own."""
        return await self._database.run(lambda connection: self._reserve(connection, wish))

    async def free(self, wish: Wish, times: Iterable[dt.time]) -> list[dt.time]:
        """Those of the times of the wish's day at which there is a table for so many."""
        day = await self._database.run(lambda connection: _day(connection, wish))
        return [time for time in times if self._place(day, wish.party_size, time) is not None]

    async def close(self) -> None:
        """Closes the file."""
        await self._database.close()

    def _reserve(self, connection: sqlite3.Connection, wish: Wish) -> str | None:
        if known := _known(connection, wish):
            return known
        place = self._place(_day(connection, wish), wish.party_size, wish.time)
        if place is None:
            return None
        ref = _new_ref(connection, wish.tenant)
        row = (
            *(wish.tenant, ref, wish.request_id or None, wish.day.isoformat()),
            *(*self._span(wish.time), place, wish.party_size, wish.name),
        )
        connection.execute(TAKE, row)
        return ref

    def _place(self, day: Day, party_size: int, time: dt.time) -> int | None:
        """The smallest free table that is large enough."""
        begins, ends = self._span(time)
        return next((place for place in self._by_size(party_size) if day.free(place, begins, ends)), None)

    def _by_size(self, party_size: int) -> Iterator[int]:
        seats = self._settings.tables
        for place in sorted(range(len(seats)), key=lambda each: seats[each]):
            if seats[place] >= party_size:
                yield place

    def _span(self, time: dt.time) -> tuple[int, int]:
        return minutes(time), minutes(time) + self._settings.stay_minutes


def _known(connection: sqlite3.Connection, wish: Wish) -> str | None:
    if not wish.request_id:
        return None
    row = connection.execute(REPEATED, (wish.tenant, wish.request_id)).fetchone()
    return None if row is None else str(row[0])


def _new_ref(connection: sqlite3.Connection, tenant: str) -> str:
    while True:
        ref = "T-" + "".join(secrets.choice(LETTERS) for _ in range(6))
        if connection.execute(IN_USE, (tenant, ref)).fetchone() is None:
            return ref


def _day(connection: sqlite3.Connection, wish: Wish) -> Day:
    return Day(connection.execute(OF_DAY, (wish.tenant, wish.day.isoformat())).fetchall())
