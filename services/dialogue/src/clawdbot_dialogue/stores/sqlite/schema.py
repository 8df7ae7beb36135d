"""The SQLite file: its tables and versions, how it is opened, and what an operator reads if that fails."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from clawdbot_servicekit.errors import StartupError

APPLICATION_ID: Final = 0x636C6462
"""Marks the file as ours ("cldb"), so that another program's database is never used."""

LOCK_TIMEOUT: Final = 5.0
"""Seconds to wait for a locked file at start."""

MIGRATIONS: Final = (
    """
    CREATE TABLE sessions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        user TEXT NOT NULL,
        flow TEXT NOT NULL,
        status INTEGER NOT NULL,
        request_id TEXT,
        digest BLOB NOT NULL,
        revision INTEGER NOT NULL,
        turns INTEGER NOT NULL DEFAULT 0,
        waiting INTEGER NOT NULL DEFAULT 0,
        reached INTEGER NOT NULL DEFAULT 0,
        tool_calls INTEGER NOT NULL DEFAULT 0,
        owner TEXT NOT NULL DEFAULT '',
        token INTEGER NOT NULL DEFAULT 0,
        expires REAL NOT NULL DEFAULT 0,
        explanation TEXT NOT NULL DEFAULT '',
        view BLOB NOT NULL,
        snapshot TEXT NOT NULL
    );
    CREATE UNIQUE INDEX sessions_by_request ON sessions (tenant, request_id) WHERE request_id IS NOT NULL;
    CREATE INDEX sessions_by_tenant ON sessions (tenant, seq);
    CREATE INDEX sessions_unfinished ON sessions (waiting) WHERE waiting > 0;

    CREATE TABLE turns (
        key INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        request_id TEXT,
        digest BLOB NOT NULL,
        finished INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        stop INTEGER NOT NULL DEFAULT 0,
        cancel_on_disconnect INTEGER NOT NULL DEFAULT 0,
        turn BLOB NOT NULL,
        view BLOB,
        transcript BLOB,
        events BLOB
    );
    CREATE UNIQUE INDEX turns_by_request ON turns (session, request_id) WHERE request_id IS NOT NULL;
    CREATE INDEX turns_to_stop ON turns (key) WHERE stop > 0 AND finished = 0;

    CREATE TABLE journal (
        turn INTEGER NOT NULL,
        name TEXT NOT NULL,
        digest BLOB NOT NULL,
        once INTEGER NOT NULL,
        record BLOB NOT NULL,
        done INTEGER NOT NULL,
        PRIMARY KEY (turn, name)
    ) WITHOUT ROWID;

    CREATE TABLE timers (
        session INTEGER NOT NULL,
        name TEXT NOT NULL,
        due REAL NOT NULL,
        PRIMARY KEY (session, name)
    ) WITHOUT ROWID;
    CREATE INDEX timers_by_due ON timers (due);

    CREATE TABLE erasures (
        tenant TEXT NOT NULL,
        session_id TEXT NOT NULL,
        request_id TEXT NOT NULL,
        turns INTEGER NOT NULL,
        tool_calls INTEGER NOT NULL,
        erase_time REAL NOT NULL,
        PRIMARY KEY (tenant, session_id, request_id)
    ) WITHOUT ROWID;
    CREATE INDEX erasures_by_time ON erasures (erase_time);
    """,
    """
    ALTER TABLE turns ADD COLUMN explanation BLOB;
    """,
    """
    CREATE TABLE flows (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        source TEXT NOT NULL,
        deploy_time REAL NOT NULL,
        UNIQUE (name, version)
    );
    """,
)
"""SQL that turns version n into n + 1. Only append to it.

The key of a turn is its session's seq and its number in one integer (rows.turn_key): a session's turns lie
side by side in one tree and need no second index. `sessions.reached` is the turn that was started last:
every turn before it is finished, so the next one is found without a walk through the history. It is running
while the session has an owner.
"""


def prepare(path: Path) -> None:
    """Creates or migrates the file.

    Raises:
        StartupError: the file cannot be used; says why.
    """
    end = time.monotonic() + LOCK_TIMEOUT
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while not _prepared(path, may_wait=time.monotonic() < end):
            _pause()
    except (OSError, sqlite3.Error) as error:
        raise StartupError(describe_error(path, error)) from error


def _prepared(path: Path, *, may_wait: bool) -> bool:
    """Returns whether that worked: workers that start together lock each other out of the switch to WAL."""
    try:
        with closing(connect(path)) as connection:
            _migrate(path, connection)
    except sqlite3.OperationalError as error:
        if not (may_wait and is_busy(error)):
            raise
        return False
    return True


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Opens a connection in the modes that SessionStore's contract needs.

    WAL lets readers go on while one process writes. `synchronous = FULL` syncs the log at every commit, so
    that what was acknowledged survives a power failure too; the writer commits everything that waits at once.
    """
    connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise sqlite3.OperationalError(f"write-ahead log refused ({mode})")
        connection.execute("PRAGMA synchronous = FULL")
        # Deleted text is overwritten where that costs no extra write.
        connection.execute("PRAGMA secure_delete = FAST")
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


def _pause() -> None:
    time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - not a secret


def is_busy(error: Exception) -> bool:
    """Returns whether the error is that another process has the file locked."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def describe_error(path: Path, error: Exception) -> str:
    """Returns a sentence for the operator: what is wrong with the file and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    meanings = {
        sqlite3.SQLITE_NOTADB: "is not a SQLite database: move it away, or set another stores.dialogue",
        sqlite3.SQLITE_CORRUPT: "is damaged: restore a backup, or move it away to start with an empty one",
        sqlite3.SQLITE_BUSY: "is locked by another program: stop that one, or set another file",
        sqlite3.SQLITE_READONLY: "cannot be written: fix its permissions, or set another state_dir",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened: fix the permissions, or set another state_dir",
        sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
    }
    if isinstance(error, OSError):
        return f"The folder {path.parent} cannot be created ({error.strerror}): set state_dir to another one."
    meaning = meanings.get(code, f"cannot be used ({error})")
    return f"The session store {path} {meaning}."


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    begin(connection, LOCK_TIMEOUT)
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and tables:
        raise StartupError(
            f"The session store {path} belongs to another program: set stores.dialogue to another file."
        )
    if version > len(MIGRATIONS):
        raise StartupError(
            f"The session store {path} was written by a newer Clawdbot (version {version}; this one knows "
            f"{len(MIGRATIONS)}): use that Clawdbot, or set stores.dialogue to another file."
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("COMMIT")
