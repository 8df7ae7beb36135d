"""Sliding windows in a SQLite file. All workers of a machine share it, so limits are exact across workers.

For each limit the times of the last grants are stored, as many as the limit allows: one more is granted once
the oldest of them has left the window. A grant reads one row, however large the limit is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clawdbot_plugin_sdk import Unavailable
from clawdbot_servicekit.sqlite import SqliteExecutor, SqliteFile, execute_script

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
"""number: 1, 2, 3 … for each bucket. moment: when it was granted. leaves: when it leaves the window."""

SELECT_LAST: Final = "SELECT number FROM grants WHERE bucket = ? ORDER BY number DESC LIMIT 1"
SELECT_EARLIER: Final = "SELECT leaves FROM grants WHERE bucket = ? AND number = ? AND moment <= ?"
"""Grants from the future do not count: after a clock was set back, nobody must be locked out."""
INSERT_GRANT: Final = "INSERT INTO grants VALUES (?, ?, ?, ?)"
DELETE_SUPERSEDED: Final = "DELETE FROM grants WHERE bucket = ? AND number <= ?"
DELETE_EXPIRED: Final = "DELETE FROM grants WHERE leaves <= ?"

ACQUISITIONS_PER_CLEANUP: Final = 256
"""Calls of `acquire` between two deletions of expired grants."""


@dataclass(frozen=True, slots=True)
class Window:
    """One limit of one key, tenant or session."""

    bucket: str
    """Identifies whose limit it is, and which."""
    amount: int
    seconds: float
    label: str
    """For people: "600 turns per minute"."""


@dataclass(frozen=True, slots=True)
class FullWindow:
    """A window whose limit is reached."""

    window: Window
    retry_after: float
    """Seconds until one more is allowed."""


class WindowStore:
    """All windows of this machine. Created by `open`, ended by `close`."""

    def __init__(self, executor: SqliteExecutor, clock: Callable[[], float]) -> None:
        self._executor = executor
        self._clock = clock
        self._acquisitions = 0

    @classmethod
    async def open(cls, folder: Path, clock: Callable[[], float]) -> WindowStore:
        """Opens the file in the folder. StartupError if it cannot be used."""
        executor = SqliteExecutor(
            SqliteFile(
                folder / "windows.sqlite",
                title="store of rate limits",
                setting="state_dir",
                migrate=lambda connection: execute_script(connection, SCHEMA),
                synchronous="NORMAL",
                unavailable=Unavailable,
            )
        )
        await executor.open()
        return cls(executor, clock)

    async def acquire(self, windows: Sequence[Window]) -> FullWindow | None:
        """Takes one from every window, or from none. Returns None, or the window that stays full longest.

        Raises:
            Unavailable: the file cannot be written now.
        """
        self._acquisitions += 1
        clean_up = self._acquisitions % ACQUISITIONS_PER_CLEANUP == 0
        return await self._executor.run(
            lambda connection: self._acquire(connection, windows, clean_up=clean_up)
        )

    async def check(self) -> None:
        """Raises Unavailable if `acquire` would."""
        await self._executor.check()

    async def close(self) -> None:
        """Closes the file."""
        await self._executor.close()

    def _acquire(
        self, connection: sqlite3.Connection, windows: Sequence[Window], *, clean_up: bool
    ) -> FullWindow | None:
        now = self._clock()
        if clean_up:
            connection.execute(DELETE_EXPIRED, (now,))
        grants = [_next_grant(connection, window, now) for window in windows]
        waits = zip(windows, grants, strict=True)
        full = [FullWindow(window, wait) for window, (_, wait) in waits if wait > 0]
        if full:
            return max(full, key=lambda each: each.retry_after)
        for window, (number, _) in zip(windows, grants, strict=True):
            connection.execute(INSERT_GRANT, (window.bucket, number, now, now + window.seconds))
            connection.execute(DELETE_SUPERSEDED, (window.bucket, number - window.amount))
        return None


def _next_grant(connection: sqlite3.Connection, window: Window, now: float) -> tuple[int, float]:
    """Returns the number of the next grant, and the seconds until it is allowed."""
    last = connection.execute(SELECT_LAST, (window.bucket,)).fetchone()
    if last is None:
        return 1, 0.0
    number = last[0] + 1
    # The grant that lies as many back as the window allows: while it is in the window, the window is full.
    earlier = connection.execute(SELECT_EARLIER, (window.bucket, number - window.amount, now)).fetchone()
    return number, 0.0 if earlier is None else max(earlier[0] - now, 0.0)
