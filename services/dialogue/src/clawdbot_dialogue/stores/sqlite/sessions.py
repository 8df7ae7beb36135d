"""SQL of sessions and leases: one function for each operation, as in turns.py."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_QUARANTINED

from clawdbot_dialogue.core.errors import RequestIdReused, SessionNotFound
from clawdbot_dialogue.core.sessions.records import (
    DeletionCounts,
    Lease,
    LeaseRequest,
    PendingSession,
    SessionFilter,
)
from clawdbot_dialogue.core.sessions.store import DELETION_RETRY_SECONDS, FlowsOutdated
from clawdbot_dialogue.stores.sqlite.rows import NUMBER_BITS, TaskRow, TurnRow, turn_key
from clawdbot_dialogue.stores.sqlite.timers import change_timers
from clawdbot_dialogue.stores.sqlite.turns import start_next


class SessionRow(NamedTuple):
    """What is known of a session even if its view cannot be read."""

    seq: int
    id: str
    tenant: str
    user: str
    flow: str
    status: int
    view: bytes


class NewSessionRow(NamedTuple):
    """A session to create."""

    id: str
    tenant: str
    user: str
    flow: str
    status: int
    request_id: str
    digest: bytes
    revision: int
    view: bytes
    snapshot: str
    timers: Sequence[tuple[str, float]]
    newest_flow: int | None


class OpeningRow(NamedTuple):
    """A session's first turn: finished, or still to run (then view, transcript and events are None)."""

    digest: bytes
    turn: bytes
    tool_calls: int = 0
    view: bytes | None = None
    transcript: bytes | None = None
    events: bytes | None = None
    explanation: bytes | None = None


def create(
    db: sqlite3.Connection, new: NewSessionRow, opening: OpeningRow | None, lease_request: LeaseRequest
) -> tuple[SessionRow | None, TaskRow | None]:
    """SessionStore.create_session: returns the session that existed, or the opening turn's task."""
    if new.request_id:
        row = db.execute(
            "SELECT digest, seq, id, tenant, user, flow, status, view FROM sessions"
            " WHERE tenant = ? AND request_id = ?",
            (new.tenant, new.request_id),
        ).fetchone()
        if row is not None and row[0] != new.digest:
            raise RequestIdReused(new.request_id)
        if row is not None:
            return SessionRow._make(row[1:]), None
    (newest_flow,) = db.execute("SELECT coalesce(max(number), 0) FROM flows").fetchone()
    if new.newest_flow is not None and newest_flow > new.newest_flow:
        raise FlowsOutdated
    pending = opening is not None and opening.view is None
    seq = db.execute(
        "INSERT INTO sessions (id, tenant, user, flow, status, request_id, digest, revision, view, snapshot,"
        " turns, waiting, reached, tool_calls, owner, token, expires)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *new[:5],
            new.request_id or None,
            *new[6:10],
            int(opening is not None),
            int(pending),
            int(opening is not None),
            opening.tool_calls if opening else 0,
            lease_request.owner if pending else "",
            1 if pending else 0,
            lease_request.expires if pending else 0.0,
        ),
    ).lastrowid
    if seq is None:
        raise sqlite3.DatabaseError("no row was inserted")
    change_timers(db, seq, new.timers)
    if opening is None:
        return None, None
    db.execute(
        "INSERT INTO turns"
        " (key, session, digest, finished, attempts, turn, view, transcript, events, explanation)"
        " VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?)",
        (
            turn_key(seq, 1),
            seq,
            opening.digest,
            int(not pending),
            opening.turn,
            opening.view,
            opening.transcript,
            opening.events,
            opening.explanation,
        ),
    )
    if not pending:
        return None, None
    turn = TurnRow(turn_key(seq, 1), 0, 1, 0, 0, opening.turn)
    return None, TaskRow(1, new.view, new.snapshot, turn, newest_flow)


def get(db: sqlite3.Connection, tenant: str, session_id: str) -> SessionRow:
    """SessionStore.get_session."""
    row = db.execute(
        "SELECT seq, id, tenant, user, flow, status, view FROM sessions WHERE id = ? AND tenant = ?",
        (session_id, tenant),
    ).fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    return SessionRow._make(row)


def list_sessions(
    db: sqlite3.Connection, tenant: str, session_filter: SessionFilter, size: int, before: int | None
) -> list[SessionRow]:
    """SessionStore.list_sessions: returns at most `size` of them."""
    rows = db.execute(
        "SELECT seq, id, tenant, user, flow, status, view FROM sessions WHERE tenant = ? AND seq < ?"
        " AND user = coalesce(?, user) AND flow = coalesce(?, flow) AND status = coalesce(?, status)"
        " ORDER BY seq DESC LIMIT ?",
        (
            tenant,
            before or 1 << 62,
            session_filter.user or None,
            session_filter.flow or None,
            session_filter.status or None,
            size,
        ),
    ).fetchall()
    return [SessionRow._make(row) for row in rows]


def existing(db: sqlite3.Connection, session_ids: Collection[str]) -> frozenset[str]:
    """SessionStore.existing_sessions."""
    ids = json.dumps([*session_ids])
    rows = db.execute("SELECT id FROM sessions WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    return frozenset(session_id for (session_id,) in rows)


def delete(
    db: sqlite3.Connection, tenant: str, session_id: str, request_id: str, now: float
) -> DeletionCounts:
    """SessionStore.delete_session."""
    call = hashlib.sha256("\0".join((tenant, session_id, request_id)).encode()).digest()
    known = db.execute(
        "SELECT turns, tool_calls FROM erasures WHERE call = ? AND erase_time > ?",
        (call, now - DELETION_RETRY_SECONDS),
    ).fetchone()
    if known is not None:
        return DeletionCounts(*known)
    row = db.execute(
        "SELECT seq, turns, tool_calls FROM sessions WHERE id = ? AND tenant = ?", (session_id, tenant)
    ).fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    seq, turns, tool_calls = row
    turn_range = (turn_key(seq, 0), turn_key(seq + 1, 0))
    db.execute("DELETE FROM journal WHERE turn >= ? AND turn < ?", turn_range)
    db.execute("DELETE FROM turns WHERE key >= ? AND key < ?", turn_range)
    change_timers(db, seq, (), "all")
    db.execute("DELETE FROM sessions WHERE seq = ?", (seq,))
    db.execute("DELETE FROM erasures WHERE erase_time <= ?", (now - DELETION_RETRY_SECONDS,))
    if request_id:
        db.execute(
            "INSERT OR REPLACE INTO erasures (call, turns, tool_calls, erase_time) VALUES (?, ?, ?, ?)",
            (call, turns, tool_calls, now),
        )
    return DeletionCounts(turns, tool_calls)


def unfinished_turns(db: sqlite3.Connection, session_id: str) -> list[TurnRow]:
    """Returns the unfinished turns of a session, which a quarantine has to end."""
    rows = db.execute(
        "SELECT key, finished, attempts, stop, cancel_on_disconnect, turn FROM turns, sessions"
        " WHERE id = ? AND key >= (seq << ? | reached) AND key < (seq + 1) << ? AND finished = 0",
        (session_id, NUMBER_BITS, NUMBER_BITS),
    ).fetchall()
    return [TurnRow._make(row) for row in rows]


def quarantine(
    db: sqlite3.Connection, session_id: str, explanation: str, ends: Sequence[tuple[int, bytes, bytes]]
) -> None:
    """SessionStore.quarantine; `ends` holds key, turn and view of each unfinished turn, as it ends."""
    row = db.execute(
        "UPDATE sessions SET status = ?, explanation = ?, waiting = 0, owner = '', token = token + 1"
        " WHERE id = ? RETURNING seq",
        (SESSION_STATUS_QUARANTINED, explanation, session_id),
    ).fetchone()
    if row is None:
        return
    change_timers(db, row[0], (), "all")
    db.executemany(
        "UPDATE turns SET finished = 1, turn = ?, view = ?, transcript = x'', events = x'' WHERE key = ?",
        [(turn, view, key) for key, turn, view in ends],
    )


def acquire_lease(
    db: sqlite3.Connection, pending: PendingSession, lease_request: LeaseRequest
) -> TaskRow | None:
    """SessionStore.acquire_lease."""
    row = db.execute(
        "SELECT seq, view, snapshot, (SELECT coalesce(max(number), 0) FROM flows) FROM sessions"
        " WHERE id = ? AND token = ? AND owner = ? AND waiting > 0",
        (pending.session_id, pending.token, pending.owner),
    ).fetchone()
    if row is None:
        return None
    seq, view, snapshot, newest_flow = row
    turn = start_next(db, seq)
    db.execute(
        "UPDATE sessions SET owner = ?, expires = ?, token = token + 1, reached = ? WHERE seq = ?",
        (lease_request.owner, lease_request.expires, turn.number, seq),
    )
    return TaskRow(pending.token + 1, view, snapshot, turn, newest_flow)


def renew_leases(db: sqlite3.Connection, leases: Sequence[Lease], expires: float) -> list[Lease]:
    """SessionStore.renew_leases."""
    return [
        each
        for each in leases
        if not db.execute(
            "UPDATE sessions SET expires = ? WHERE id = ? AND token = ?",
            (expires, each.session_id, each.token),
        ).rowcount
    ]


def release_leases(db: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    """SessionStore.release_leases."""
    db.executemany(
        "UPDATE sessions SET owner = '', expires = 0 WHERE id = ? AND token = ?",
        [(each.session_id, each.token) for each in leases],
    )


def pending_sessions(db: sqlite3.Connection) -> list[PendingSession]:
    """SessionStore.pending_sessions."""
    rows = db.execute("SELECT id, token, owner, expires FROM sessions WHERE waiting > 0").fetchall()
    return [PendingSession(*row) for row in rows]
