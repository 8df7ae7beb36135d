"""One SQLite file and the one thread that works on it, so that the event loop never waits for a disk.

Several processes may open the same file: it is in WAL mode, and every piece of work is one immediate
transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, TypeVar

from clawdbot_servicekit.errors import StartupError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

PATIENCE: Final = 5.0
"""Seconds to wait for another process's transaction."""


class Database:
    """An open file. Made by `open`, ended by `close`."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._closed = False

    @classmethod
    async def open(cls, path: Path, schema: str, *, durable: Literal["FULL", "NORMAL"] = "FULL") -> Database:
        """Opens the file, making it if need be.

        Args:
            path: its folder must be there.
            schema: statements that make the tables where they are missing.
            durable: FULL: what was written outlives a loss of power. NORMAL: the last of it may be lost then,
                and writing does not wait for the disk. Both outlive the process, however it ends.

        Raises:
            StartupError: with the path, when it cannot be used.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(thread, connect, path, schema, durable)
        except sqlite3.Error as error:
            thread.shutdown()
            raise StartupError(
                f"Cannot use {path}: {error}. Make its folder writable, or set state_dir to another one."
            ) from None
        return cls(connection, thread)

    async def run(self, work: Work[T]) -> T:
        """Does the work in one transaction: all of it or, when it raises, nothing.

        The work goes on when the caller is cancelled. sqlite3.Error passes through.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, transact, self._connection, work
        )

    async def close(self) -> None:
        """Waits for the work in hand and closes the file. Safe twice."""
        if not self._closed:
            self._closed = True
            # The thread must close what it opened.
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
            self._thread.shutdown()


def connect(path: Path, schema: str, durable: str) -> sqlite3.Connection:
    """A connection for the calling thread, with the tables in place."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        _into_wal(connection)
        connection.execute(f"PRAGMA synchronous = {durable}")
        connection.executescript(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _into_wal(connection: sqlite3.Connection) -> None:
    """SQLite's own patience does not cover this pragma: workers that start together would get "locked"."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def transact(connection: sqlite3.Connection, work: Work[T]) -> T:
    """The work in one immediate transaction: no other process writes in between."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return result
