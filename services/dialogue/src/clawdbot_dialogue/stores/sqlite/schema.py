"""The tables of the session store, their versions, and which files it refuses."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.sqlite import SqliteFile, execute_script

from clawdbot_dialogue.core.errors import StoreUnavailable

APPLICATION_ID: Final = 0x636C6462
"""Marks the file as ours ("cldb"), so that another program's database is never used."""

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
    """
    DROP TABLE erasures;
    CREATE TABLE erasures (
        call BLOB PRIMARY KEY,
        turns INTEGER NOT NULL,
        tool_calls INTEGER NOT NULL,
        erase_time REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX erasures_by_time ON erasures (erase_time);
    """,
)
"""SQL that turns version n into n + 1. Only append to it.

The key of a turn is its session's seq and its number in one integer (rows.turn_key): a session's turns lie
side by side in one tree and need no second index. `sessions.reached` is the turn that was started last:
every turn before it is finished, so the next one is found without a walk through the history. It is running
while the session has an owner. `erasures.call` is a hash of the tenant, the session and the request that
deleted it, so that it names none of them.
"""


def session_file(path: Path) -> SqliteFile:
    """Returns the session store's file at a path.

    A commit is synced to the disk: what was acknowledged survives a power failure too.
    """
    return SqliteFile(
        path,
        title="session store",
        setting="stores.dialogue",
        migrate=lambda connection: _migrate(path, connection),
        erases=True,
        unavailable=StoreUnavailable,
    )


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
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
        execute_script(connection, script)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
