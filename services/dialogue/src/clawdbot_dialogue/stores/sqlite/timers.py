"""Journals and timers in the SQLite file: one function an operation, as in sqlite_turns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Literal

from clawdbot_dialogue.core.errors import LeaseLost
from clawdbot_dialogue.core.sessions.records import JournalEntry, Lease
from clawdbot_dialogue.stores.sqlite.rows import NUMBER_BITS, turn_key


def change_timers(
    db: sqlite3.Connection,
    session: int,
    set_timers: Iterable[tuple[str, float]],
    clear_timers: Sequence[str] | Literal["all"] = (),
) -> None:
    """Clears timers, then sets others."""
    if clear_timers == "all":
        db.execute("DELETE FROM timers WHERE session = ?", (session,))
    elif clear_timers:
        db.executemany(
            "DELETE FROM timers WHERE session = ? AND name = ?", [(session, name) for name in clear_timers]
        )
    rows = [(session, name, due) for name, due in set_timers]
    if rows:
        db.executemany("INSERT OR REPLACE INTO timers (session, name, due) VALUES (?, ?, ?)", rows)


def write_journal(db: sqlite3.Connection, claim: Lease, entries: Sequence[JournalEntry]) -> None:
    """SessionStore.write_journal."""
    session = db.execute(
        "SELECT seq FROM sessions WHERE id = ? AND token = ?", (claim.session_id, claim.token)
    ).fetchone()
    if session is None:
        raise LeaseLost(claim.session_id)
    db.executemany(
        "INSERT OR REPLACE INTO journal (turn, name, digest, once, record, done) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                turn_key(session[0], entry.number),
                entry.key,
                entry.digest,
                entry.once,
                entry.record,
                entry.done,
            )
            for entry in entries
        ],
    )


def read_journal(db: sqlite3.Connection, session_id: str) -> list[JournalEntry]:
    """SessionStore.read_journal."""
    rows = db.execute(
        "SELECT turn & ?, name, journal.digest, once, record, done FROM journal, sessions"
        " WHERE sessions.id = ? AND turn >= seq << ? AND turn < (seq + 1) << ? ORDER BY turn, name",
        ((1 << NUMBER_BITS) - 1, session_id, NUMBER_BITS, NUMBER_BITS),
    ).fetchall()
    return [
        JournalEntry(number, key, digest, bool(once), record, bool(done))
        for number, key, digest, once, record, done in rows
    ]


def due_timers(
    db: sqlite3.Connection, now: float, limit: int
) -> tuple[list[tuple[str, str, str, float]], float | None]:
    """SessionStore.due_timers: session, tenant, timer and time of each."""
    rows = db.execute(
        "SELECT sessions.id, tenant, name, due FROM timers JOIN sessions ON sessions.seq = timers.session"
        " WHERE due <= ? ORDER BY due LIMIT ?",
        (now, limit),
    ).fetchall()
    after = db.execute("SELECT due FROM timers ORDER BY due LIMIT 1 OFFSET ?", (len(rows),)).fetchone()
    return rows, after[0] if after else None
