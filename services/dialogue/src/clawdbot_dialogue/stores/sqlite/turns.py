"""SQL of turns: one function for each operation.

Each takes a connection, in a transaction if it writes, and raises its DialogueError before it writes.
Blobs go in and out as they are: the store decodes them on the event loop's side.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, SESSION_STATUS_QUARANTINED

from clawdbot_dialogue.core.errors import (
    InboxFull,
    LeaseLost,
    RequestIdReused,
    SessionBusy,
    SessionEnded,
    SessionNotFound,
    SessionQuarantined,
    TurnNotFound,
)
from clawdbot_dialogue.core.sessions.records import (
    STOP_MODES,
    ConcurrencyPolicy,
    DueTimer,
    LeaseRequest,
    StopMode,
)
from clawdbot_dialogue.stores.sqlite.rows import (
    NUMBER_BITS,
    AcceptedRow,
    CommitRow,
    FinishedRow,
    NewTurnRow,
    TaskRow,
    TurnRow,
    turn_key,
)
from clawdbot_dialogue.stores.sqlite.timers import change_timers


class _SessionRow(NamedTuple):
    seq: int
    tenant: str
    status: int
    turns: int
    waiting: int
    owner: str
    token: int
    expires: float
    view: bytes
    snapshot: str
    newest_flow: int


def accept(db: sqlite3.Connection, new: NewTurnRow, lease_request: LeaseRequest, now: float) -> AcceptedRow:
    """SessionStore.accept_turn."""
    row = db.execute(
        "SELECT seq, tenant, status, turns, waiting, owner, token, expires, view, snapshot,"
        " (SELECT coalesce(max(number), 0) FROM flows) FROM sessions WHERE id = ?",
        (new.session_id,),
    ).fetchone()
    if row is None or row[1] != new.tenant:
        raise SessionNotFound(new.session_id)
    session = _SessionRow._make(row)
    if new.request_id:
        known = _by_request(db, session.seq, new.request_id)
        if known is not None:
            return _joined(db, known, new)
    _admit(session, new)
    stopped = (
        _request_first_to_stop(db, session, STOP_MODES[new.concurrency])
        if new.concurrency in STOP_MODES
        else None
    )
    number = session.turns + 1
    free = not session.owner or (session.expires <= now and session.owner != lease_request.owner)
    runs_now = free and not session.waiting
    db.execute(
        "INSERT INTO turns (key, session, request_id, digest, attempts, cancel_on_disconnect, turn)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            turn_key(session.seq, number),
            session.seq,
            new.request_id or None,
            new.digest,
            int(runs_now),
            new.cancel_on_disconnect,
            new.turn,
        ),
    )
    if not free:
        db.execute(
            "UPDATE sessions SET turns = turns + 1, waiting = waiting + 1 WHERE seq = ?", (session.seq,)
        )
        return AcceptedRow(number, stopped=stopped)
    if runs_now:
        turn = TurnRow(turn_key(session.seq, number), 0, 1, 0, new.cancel_on_disconnect, new.turn)
    else:
        turn = start_next(db, session.seq)
    db.execute(
        "UPDATE sessions SET turns = turns + 1, waiting = waiting + 1, reached = ?, owner = ?, expires = ?,"
        " token = token + 1 WHERE seq = ?",
        (turn.number, lease_request.owner, lease_request.expires, session.seq),
    )
    task = TaskRow(session.token + 1, session.view, session.snapshot, turn, session.newest_flow)
    return AcceptedRow(number, task=task, stopped=stopped)


def _joined(db: sqlite3.Connection, known: tuple[TurnRow, bytes], new: NewTurnRow) -> AcceptedRow:
    turn, digest = known
    if digest != new.digest:
        raise RequestIdReused(new.request_id)
    return AcceptedRow(turn.number, known=turn, finished=finished_row(db, turn) if turn.finished else None)


def _admit(session: _SessionRow, new: NewTurnRow) -> None:
    if session.status == SESSION_STATUS_QUARANTINED:
        raise SessionQuarantined(new.session_id)
    if session.status == SESSION_STATUS_ENDED:
        raise SessionEnded(new.session_id)
    if session.waiting and new.concurrency is ConcurrencyPolicy.REJECT:
        raise SessionBusy(new.session_id)
    if new.limit is not None and session.waiting >= new.limit:
        raise InboxFull(new.session_id, new.limit)


def _request_first_to_stop(db: sqlite3.Connection, session: _SessionRow, stop: StopMode) -> int | None:
    if not session.waiting:
        return None
    first = first_unfinished(db, session.seq)
    db.execute("UPDATE turns SET stop = max(stop, ?) WHERE key = ?", (int(stop), first.key))
    return first.number


def first_unfinished(db: sqlite3.Connection, session: int) -> TurnRow:
    """Returns the earliest unfinished turn of a session that has one."""
    row = db.execute(
        "SELECT key, finished, attempts, stop, cancel_on_disconnect, turn FROM turns"
        " WHERE key >= (SELECT seq << ? | reached FROM sessions WHERE seq = ?)"
        " AND key < ? AND finished = 0 ORDER BY key LIMIT 1",
        (NUMBER_BITS, session, turn_key(session + 1, 0)),
    ).fetchone()
    return TurnRow._make(row)


def start_next(db: sqlite3.Connection, session: int) -> TurnRow:
    """Counts an attempt at the earliest unfinished turn and returns it; the caller updates the session."""
    turn = first_unfinished(db, session)
    db.execute("UPDATE turns SET attempts = attempts + 1 WHERE key = ?", (turn.key,))
    return turn._replace(attempts=turn.attempts + 1)


def commit(db: sqlite3.Connection, end: CommitRow) -> TurnRow | None:
    """SessionStore.commit."""
    found = db.execute(
        "UPDATE sessions SET revision = revision + 1, status = ?, view = ?, snapshot = coalesce(?, snapshot),"
        " waiting = waiting - 1, tool_calls = tool_calls + ?,"
        " owner = CASE WHEN waiting > 1 THEN owner ELSE '' END"
        " WHERE id = ? AND token = ? AND revision = ? AND reached = ? RETURNING seq, waiting",
        (
            end.status,
            end.view,
            end.snapshot,
            end.tool_calls,
            end.lease.session_id,
            end.lease.token,
            end.revision,
            end.number,
        ),
    ).fetchone()
    if found is None:
        raise LeaseLost(end.lease.session_id)
    session, waiting = found
    key = turn_key(session, end.number)
    db.execute(
        "UPDATE turns SET finished = 1, turn = ?, view = ?, transcript = ?, events = ?, explanation = ?"
        " WHERE key = ?",
        (end.turn, end.view, end.transcript, end.events, end.explanation, key),
    )
    if end.clear_journal == "all":
        db.execute("DELETE FROM journal WHERE turn = ?", (key,))
    elif end.clear_journal:
        db.executemany(
            "DELETE FROM journal WHERE turn = ? AND name = ?", [(key, name) for name in end.clear_journal]
        )
    change_timers(db, session, end.set_timers, end.clear_timers)
    if not waiting:
        return None
    turn = start_next(db, session)
    db.execute(
        "UPDATE sessions SET reached = ?, expires = max(expires, ?) WHERE seq = ?",
        (turn.number, end.lease_expires, session),
    )
    return turn


def finish_waiting(db: sqlite3.Connection, session_id: str, number: int, end: FinishedRow) -> bool:
    """SessionStore.finish_waiting."""
    row = db.execute("SELECT seq, owner, reached FROM sessions WHERE id = ?", (session_id,)).fetchone()
    if row is None or (row[1] and row[2] == number):
        return False
    done = db.execute(
        "UPDATE turns SET finished = 1, turn = ?, view = ?, transcript = x'', events = ?"
        " WHERE key = ? AND finished = 0",
        (*end, turn_key(row[0], number)),
    )
    if done.rowcount:
        db.execute("UPDATE sessions SET waiting = waiting - 1 WHERE seq = ?", (row[0],))
    return done.rowcount > 0


def request_stop(db: sqlite3.Connection, session_id: str, number: int, stop: StopMode) -> None:
    """SessionStore.request_stop."""
    db.execute(
        "UPDATE turns SET stop = max(stop, ?) WHERE finished = 0"
        " AND key = (SELECT seq << ? | ? FROM sessions WHERE id = ?)",
        (int(stop), NUMBER_BITS, number, session_id),
    )


def stop_requests(db: sqlite3.Connection) -> list[tuple[str, int, int]]:
    """SessionStore.stop_requests."""
    return db.execute(
        "SELECT sessions.id, turns.key & ?, turns.stop FROM turns JOIN sessions ON seq = session"
        " WHERE turns.stop > 0 AND turns.finished = 0",
        ((1 << NUMBER_BITS) - 1,),
    ).fetchall()


def find(
    db: sqlite3.Connection, tenant: str, session_id: str, number: int, request_id: str
) -> tuple[TurnRow, FinishedRow | None, bool]:
    """SessionStore.find_turn: returns the turn, its result if finished, and whether it is running."""
    session = db.execute(
        "SELECT seq, owner, reached FROM sessions WHERE id = ? AND tenant = ?", (session_id, tenant)
    ).fetchone()
    if session is None:
        raise SessionNotFound(session_id)
    if request_id:
        known = _by_request(db, session[0], request_id)
        turn = known[0] if known else None
    else:
        row = db.execute(
            "SELECT key, finished, attempts, stop, cancel_on_disconnect, turn FROM turns WHERE key = ?",
            (turn_key(session[0], number),),
        ).fetchone()
        turn = TurnRow._make(row) if row else None
    if turn is None:
        raise TurnNotFound(session_id, request_id or str(number))
    is_running = bool(session[1]) and session[2] == turn.number and not turn.finished
    return turn, finished_row(db, turn) if turn.finished else None, is_running


def get_explanation(db: sqlite3.Connection, tenant: str, session_id: str, number: int) -> bytes:
    """SessionStore.get_explanation."""
    session = db.execute(
        "SELECT seq FROM sessions WHERE id = ? AND tenant = ?", (session_id, tenant)
    ).fetchone()
    if session is None:
        raise SessionNotFound(session_id)
    row = db.execute(
        "SELECT explanation FROM turns WHERE key = ? AND finished = 1", (turn_key(session[0], number),)
    ).fetchone()
    if row is None:
        raise TurnNotFound(session_id, str(number))
    return row[0] or b""


_LISTED: Final = (
    "SELECT key, finished, attempts, stop, cancel_on_disconnect, turn FROM turns WHERE key > ? AND key < ?"
)
OLDEST_FIRST: Final = f"{_LISTED} ORDER BY key LIMIT ?"
NEWEST_FIRST: Final = f"{_LISTED} ORDER BY key DESC LIMIT ?"


def list_turns(
    db: sqlite3.Connection, tenant: str, session_id: str, *, query: str, size: int, after: int | None
) -> tuple[list[TurnRow], int]:
    """SessionStore.list_turns: returns the turns and the number of the running one (0 for none).

    `query` is OLDEST_FIRST or NEWEST_FIRST.
    """
    session = db.execute(
        "SELECT seq, CASE WHEN owner = '' THEN 0 ELSE reached END FROM sessions WHERE id = ? AND tenant = ?",
        (session_id, tenant),
    ).fetchone()
    if session is None:
        raise SessionNotFound(session_id)
    low, high = turn_key(session[0], 0), turn_key(session[0] + 1, 0)
    if after is not None:
        edge = turn_key(session[0], after)
        low, high = (low, edge) if query == NEWEST_FIRST else (edge, high)
    rows = db.execute(query, (low, high, size)).fetchall()
    return [TurnRow._make(row) for row in rows], session[1]


def recent_transcripts(db: sqlite3.Connection, session_id: str, limit: int) -> list[bytes]:
    """Returns the transcripts of at most `limit` turns that have one, newest first."""
    session = db.execute("SELECT seq FROM sessions WHERE id = ?", (session_id,)).fetchone()
    if session is None:
        return []
    rows = db.execute(
        "SELECT transcript FROM turns WHERE key > ? AND key < ? AND transcript != x''"
        " ORDER BY key DESC LIMIT ?",
        (turn_key(session[0], 0), turn_key(session[0] + 1, 0), limit),
    ).fetchall()
    return [row[0] for row in rows]


def fire(
    db: sqlite3.Connection, timer: DueTimer, new: NewTurnRow, lease_request: LeaseRequest, now: float
) -> AcceptedRow | None:
    """SessionStore.fire_timer."""
    session = db.execute("SELECT seq FROM sessions WHERE id = ?", (timer.session_id,)).fetchone()
    row = (
        session
        and db.execute(
            "SELECT due FROM timers WHERE session = ? AND name = ?", (session[0], timer.timer_id)
        ).fetchone()
    )
    if not row or row[0] != timer.due:
        return None
    accepted = accept(db, new, lease_request, now)
    change_timers(db, session[0], (), [timer.timer_id])
    return accepted


def finished_row(db: sqlite3.Connection, turn: TurnRow) -> FinishedRow:
    """Returns the result of a finished turn."""
    view, events = db.execute("SELECT view, events FROM turns WHERE key = ?", (turn.key,)).fetchone()
    return FinishedRow(turn.turn, view, events)


def _by_request(db: sqlite3.Connection, session: int, request_id: str) -> tuple[TurnRow, bytes] | None:
    row = db.execute(
        "SELECT key, finished, attempts, stop, cancel_on_disconnect, turn, digest FROM turns"
        " WHERE session = ? AND request_id = ?",
        (session, request_id),
    ).fetchone()
    return (TurnRow._make(row[:-1]), row[-1]) if row else None
