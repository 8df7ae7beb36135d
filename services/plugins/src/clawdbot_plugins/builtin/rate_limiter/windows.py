"""Moving windows in a SQLite file that all workers of a machine share, so that limits are exact between them.

For each limit the moments of the last grants are kept, as many as the limit allows: one more is granted
when the oldest of them has left the window. A grant takes one look at one row, however large the limit is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clawdbot_plugins.stores.sqlite.database import Database

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS grants (
    bucket TEXT NOT NULL,
    number INTEGER NOT NULL,
    moment REAL NOT NULL,
    leaves REAL NOT NULL,
    PRIMARY KEY (bucket, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS grants_by_end ON grants (leaves);
"""
"""number: 1, 2, 3 … for each bucket. leaves: when the grant is out of the window."""

LAST: Final = "SELECT number FROM grants WHERE bucket = ? ORDER BY number DESC LIMIT 1"
EARLIER: Final = "SELECT leaves FROM grants WHERE bucket = ? AND number = ? AND moment <= ?"
"""Grants from the future do not count: a clock that was put back must keep nobody out."""
GRANT: Final = "INSERT INTO grants VALUES (?, ?, ?, ?)"
OUTRUN: Final = "DELETE FROM grants WHERE bucket = ? AND number <= ?"
FORGET: Final = "DELETE FROM grants WHERE leaves <= ?"

FORGET_EVERY: Final = 256
"""Questions between two rounds of forgetting."""


@dataclass(frozen=True, slots=True)
class Window:
    """So many in so long, for whom."""

    bucket: str
    """Whose allowance, and which."""
    amount: int
    seconds: float
    label: str
    """For people: "600 turns per 1 minute"."""


@dataclass(frozen=True, slots=True)
class Full:
    """A window with no room."""

    window: Window
    retry_after: float
    """Seconds until there is room for one."""


class Windows:
    """Every window of this machine. Made by `open`, ended by `close`."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._asked = 0

    @classmethod
    async def open(cls, folder: Path, clock: Callable[[], float]) -> Windows:
        """Opens the file in the folder. StartupError when it cannot be used."""
        return cls(await Database.open(folder / "windows.sqlite", SCHEMA, durable="NORMAL"), clock)

    async def take(self, windows: Sequence[Window]) -> Full | None:
        """Takes one from every window, or from none: then it says which one stays full longest."""
        self._asked += 1
        forget = self._asked % FORGET_EVERY == 0
        return await self._database.run(lambda connection: self._take(connection, windows, forget=forget))

    async def close(self) -> None:
        """Closes the file."""
        await self._database.close()

    def _take(
        self, connection: sqlite3.Connection, windows: Sequence[Window], *, forget: bool
    ) -> Full | None:
        now = self._clock()
        if forget:
            connection.execute(FORGET, (now,))
        places = [_place(connection, each, now) for each in windows]
        full = [Full(window, wait) for window, (_, wait) in zip(windows, places, strict=True) if wait > 0]
        if full:
            return max(full, key=lambda each: each.retry_after)
        for window, (number, _) in zip(windows, places, strict=True):
            connection.execute(GRANT, (window.bucket, number, now, now + window.seconds))
            connection.execute(OUTRUN, (window.bucket, number - window.amount))
        return None


def _place(connection: sqlite3.Connection, window: Window, now: float) -> tuple[int, float]:
    """The number that the next grant would have, and the seconds until it can be had."""
    last = connection.execute(LAST, (window.bucket,)).fetchone()
    if last is None:
        return 1, 0.0
    number = last[0] + 1
    # As many grants ago as the window allows: if that one is still in it, there is no room.
    earlier = connection.execute(EARLIER, (window.bucket, number - window.amount, now)).fetchone()
    return number, 0.0 if earlier is None else max(earlier[0] - now, 0.0)
