"""A SQLite file: how it is opened, migrated and locked, and what an operator reads if it cannot be used."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.private_files import create_folder, create_private, make_private

START_TIMEOUT: Final = 5.0
"""Seconds to wait for a locked file at start."""

MIN_FREE_BYTES: Final = 128 * 1024
"""On the file's disk, for it to count as writable: room for a transaction of some pages, in log and file."""


class SqliteUnavailable(Exception):
    """A SQLite file cannot be read or written now; nothing was changed."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A file, and what its owner says about it."""

    path: Path
    title: str
    """For operators: "session store"."""
    setting: str
    """What an operator sets to use another file: "stores.dialogue"."""
    migrate: Callable[[sqlite3.Connection], None]
    """Creates or changes tables, in the transaction that it is given. Raises StartupError for a file that
    it must not use."""
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """FULL: the log is synced at every commit, so committed data survives a power loss. NORMAL: the last
    transactions may be lost then, and commits do not wait for the disk. Both survive any end of the process.
    See https://www.sqlite.org/pragma.html#pragma_synchronous."""
    erases: bool = False
    """Whether deleted rows are always overwritten, and `SqliteExecutor.erase` removes all traces of them."""
    unavailable: Callable[[str], Exception] = SqliteUnavailable
    """Makes the exception of an operation that the file refuses, from a sentence for the operator."""

    def prepare(self) -> None:
        """Creates or migrates the file.

        Raises:
            StartupError: the file cannot be used; says why.
        """
        end = time.monotonic() + START_TIMEOUT
        try:
            create_folder(self.path.parent)
            self._make_private()
            while not self._prepared(may_wait=time.monotonic() < end):
                _pause()
        except (OSError, sqlite3.Error) as error:
            raise StartupError(self.describe_error(error)) from error

    def _make_private(self) -> None:
        """Before SQLite creates it: the log and the index beside it get the permissions of the file."""
        with suppress(OSError):  # SQLite fails as well, and says why
            create_private(self.path)
        for suffix in ("-wal", "-shm"):
            make_private(self.path.with_name(self.path.name + suffix))

    def _prepared(self, *, may_wait: bool) -> bool:
        """Returns whether that worked: processes that start together lock each other out.

        SQLite's busy timeout does not cover the switch to WAL.
        """
        try:
            with closing(self.connect()) as connection:
                begin(connection, START_TIMEOUT)
                self.migrate(connection)
                connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if not (may_wait and is_busy(error)):
                raise
            return False
        return True

    @property
    def erasure_mark(self) -> Path:
        """Exists while something is to be erased, also after the process has died."""
        return self.path.with_name(f"{self.path.name}-erasing")

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        """Opens a connection. Write-ahead logging lets readers go on while one process writes."""
        connection = sqlite3.connect(
            self.path, timeout=START_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise sqlite3.OperationalError(f"write-ahead log refused ({mode})")
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            # FAST: deleted text is overwritten where that costs no extra write.
            connection.execute(f"PRAGMA secure_delete = {'ON' if self.erases else 'FAST'}")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA cache_size = {-2048 if read_only else -8192}")
            connection.execute(f"PRAGMA query_only = {int(read_only)}")
            if not read_only:
                connection.execute("PRAGMA busy_timeout = 0")  # `begin` waits instead
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def identity(self) -> tuple[int, int]:
        """Returns device and inode of the file.

        Raises:
            sqlite3.OperationalError: there is none. SQLite itself would go on writing to a deleted file.
        """
        try:
            status = os.stat(self.path)  # noqa: PTH116 - before every transaction, so the fast one
        except OSError as error:
            raise sqlite3.OperationalError(
                f"{error.strerror}: put it back, or restart to begin with an empty one"
            ) from error
        return status.st_dev, status.st_ino

    def try_write(self, connection: sqlite3.Connection) -> None:
        """Writes the file's header as it is, in the running transaction, to find out whether a write works.

        Raises:
            sqlite3.Error: it does not, or the disk has less than MIN_FREE_BYTES: the log may have room for
                this write, and none for one of several pages.
        """
        disk = os.statvfs(self.path)
        free_blocks = disk.f_bfree if os.geteuid() == 0 else disk.f_bavail
        if disk.f_blocks and free_blocks * disk.f_frsize < MIN_FREE_BYTES:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")

    def describe_error(self, error: Exception) -> str:
        """Returns a sentence for the operator: what is wrong with the file and what to do."""
        if isinstance(error, OSError):
            return (
                f"The folder {self.path.parent} cannot be created ({error.strerror}): "
                "set state_dir to another one."
            )
        other = f"set another {self.setting}"
        damaged = "is damaged: restore a backup, or move it away to start with an empty one"
        meanings = {
            sqlite3.SQLITE_NOTADB: f"is not a SQLite database: move it away, or {other}",
            sqlite3.SQLITE_CORRUPT: damaged,
            sqlite3.SQLITE_BUSY: f"is locked by another program: stop that one, or {other}",
            sqlite3.SQLITE_READONLY: "cannot be written: fix its permissions, or set another state_dir",
            sqlite3.SQLITE_CANTOPEN: "cannot be opened: fix the permissions, or set another state_dir",
            sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
        }
        meaning = meanings.get(_primary_code(error), f"cannot be used ({error})")
        return f"The {self.title} {self.path} {meaning}."

    def unavailable_because(self, error: sqlite3.Error) -> Exception:
        """Returns the exception for the owner's callers."""
        unavailable = self.unavailable(self.describe_error(error))
        unavailable.__cause__ = error
        return unavailable


def execute_script(connection: sqlite3.Connection, script: str) -> None:
    """Executes statements in the running transaction, which sqlite3's executescript would commit first.

    A semicolon always ends a statement: the script MUST NOT have one in a text or a trigger.
    """
    for statement in filter(str.strip, script.split(";")):
        connection.execute(statement)


def begin(connection: sqlite3.Connection, timeout: float) -> None:
    """Begins a transaction that may write, once no other process that shares the file is writing.

    SQLite's own busy handler sleeps up to 100 ms at a time, which starves one worker next to three busy ones.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > end:
                raise
            _pause()
        else:
            return


def is_busy(error: Exception) -> bool:
    """Returns whether the error is that another process has the file locked."""
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _primary_code(error: Exception) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _pause() -> None:
    time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - not a secret
