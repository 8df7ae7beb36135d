"""SQL of timers. Firing one is in turns.py: it accepts a turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Literal


def change_timers(
    db: sqlite3.Connection,
    session: int,
    set_timers: Iterable[tuple[str, float]],
    clear_timers: Sequence[str] | Literal["all"] = (),
) -> None:
    """Clears timers of a session, then sets others."""
    if clear_timers == "all":
        db.execute("DELETE FROM timers WHERE session = ?", (session,))
    elif clear_timers:
        db.executemany(
            "DELETE FROM timers WHERE session = ? AND name = ?", [(session, name) for name in clear_timers]
        )
    rows = [(session, name, due) for name, due in set_timers]
    if rows:
        db.executemany("INSERT OR REPLACE INTO timers (session, name, due) VALUES (?, ?, ?)", rows)


def due_timers(
    db: sqlite3.Connection, now: float, limit: int
) -> tuple[list[tuple[str, str, str, float]], float | None]:
    """SessionStore.due_timers: session id, tenant, timer id and due time of each."""
    rows = db.execute(
        "SELECT sessions.id, tenant, name, due FROM timers JOIN sessions ON sessions.seq = timers.session"
        " WHERE due <= ? ORDER BY due LIMIT ?",
        (now, limit),
    ).fetchall()
    next_row = db.execute("SELECT due FROM timers ORDER BY due LIMIT 1 OFFSET ?", (len(rows),)).fetchone()
    return rows, next_row[0] if next_row else None
