"""One SQLite file and the one thread that works on it, so that the event loop never waits for the disk.

Several processes may open the same file: it is in WAL mode, and every transaction is an immediate one.
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
Transaction = Callable[[sqlite3.Connection], T]

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another process's transaction."""


class Database:
    """An open file. Created by `open`, ended by `close`."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, schema: str, *, synchronous: Literal["FULL", "NORMAL"] = "FULL"
    ) -> Database:
        """Opens the file; creates it if it does not exist.

        Args:
            path: its folder must exist.
            schema: statements that create missing tables.
            synchronous: FULL: committed data survives a power loss. NORMAL: the last transactions may be lost
                then, and commits do not wait for the disk. Both survive any end of the process. See
                https://www.sqlite.org/pragma.html#pragma_synchronous.

        Raises:
            StartupError: with the path, if the file cannot be used.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(thread, connect, path, schema, synchronous)
        except sqlite3.Error as error:
            thread.shutdown()
            raise StartupError(
                f"Cannot use {path}: {error}. Make its folder writable, or set state_dir to another folder."
            ) from None
        return cls(connection, thread)

    async def run(self, work: Transaction[T]) -> T:
        """Runs the work in one transaction, which is rolled back if the work raises.

        The work continues if the caller is cancelled. sqlite3.Error passes through.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, run_transaction, self._connection, work
        )

    async def close(self) -> None:
        """Waits for the current transaction and closes the file. Safe to call twice."""
        if not self._closed:
            self._closed = True
            # SQLite requires that the thread that opened the connection closes it.
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
            self._thread.shutdown()


def connect(path: Path, schema: str, synchronous: str) -> sqlite3.Connection:
    """Opens a connection for the calling thread and creates missing tables."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        _enable_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.executescript(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Retries, because SQLite's busy timeout does not cover this pragma: concurrent starts get "locked"."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def run_transaction(connection: sqlite3.Connection, work: Transaction[T]) -> T:
    """Runs the work in one immediate transaction: no other process writes in the meantime."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return result
