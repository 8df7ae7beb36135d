"""SQL of the journal. A function that writes raises its DialogueError before it writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from clawdbot_dialogue.core.errors import LeaseLost
from clawdbot_dialogue.core.sessions.records import JournalEntry, Lease
from clawdbot_dialogue.stores.sqlite.rows import NUMBER_BITS


def write_journal(db: sqlite3.Connection, lease: Lease, entries: Sequence[JournalEntry]) -> None:
    """SessionStore.write_journal."""
    written = db.executemany(
        "INSERT OR REPLACE INTO journal (turn, name, digest, once, record, done)"
        " SELECT seq << ? | ?, ?, ?, ?, ?, ? FROM sessions WHERE id = ? AND token = ?",
        [
            (
                NUMBER_BITS,
                entry.number,
                entry.key,
                entry.digest,
                entry.once,
                entry.record,
                entry.done,
                lease.session_id,
                lease.token,
            )
            for entry in entries
        ],
    ).rowcount
    if written < len(entries):
        raise LeaseLost(lease.session_id)


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
