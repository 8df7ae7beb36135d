"""Decodes the rows of the SQLite store; a session or turn that cannot be read still has something to show."""

from __future__ import annotations

from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_QUARANTINED, Session
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_FAILED, Turn, TurnError
from google.protobuf.message import DecodeError

from clawdbot_dialogue.core.sessions.ids import turn_id
from clawdbot_dialogue.core.sessions.records import (
    AcceptedTurn,
    InboxTurn,
    Lease,
    NewTurn,
    StopMode,
    TurnResult,
    TurnTask,
)
from clawdbot_dialogue.stores import statuses
from clawdbot_dialogue.stores.framing import unpack
from clawdbot_dialogue.stores.sqlite.rows import AcceptedRow, FinishedRow, TaskRow, TurnRow
from clawdbot_dialogue.stores.sqlite.sessions import SessionRow


def session(row: SessionRow) -> Session:
    """Decodes a session; one that cannot be read is QUARANTINED and has what the columns hold."""
    try:
        decoded = Session.FromString(row.view)
    except DecodeError:
        decoded = Session(id=row.id, tenant=row.tenant, user=row.user, flow=row.flow)
        decoded.status = SESSION_STATUS_QUARANTINED
    if row.status == SESSION_STATUS_QUARANTINED:
        decoded.status = SESSION_STATUS_QUARANTINED
    return decoded


def turn(session_id: str, row: TurnRow) -> Turn:
    """Decodes a turn; one that cannot be read is FAILED."""
    try:
        decoded = Turn.FromString(row.turn)
    except DecodeError:
        return Turn(
            id=turn_id(session_id, row.number),
            session_id=session_id,
            number=row.number,
            status=TURN_STATUS_FAILED,
            error=TurnError(reason="TURN_UNREADABLE", message="What is stored of this turn cannot be read."),
        )
    return decoded if row.finished else statuses.accepted_turn(decoded, session_id, row.number)


def inbox(session_id: str, row: TurnRow) -> InboxTurn:
    """Decodes an unfinished turn.

    Raises:
        DecodeError: it cannot be read.
    """
    accepted = statuses.accepted_turn(Turn.FromString(row.turn), session_id, row.number)
    return InboxTurn(accepted, row.attempts, StopMode(row.stop), bool(row.cancel_on_disconnect))


def finished(row: FinishedRow) -> TurnResult:
    """Decodes a finished turn.

    Raises:
        DecodeError: it cannot be read.
    """
    return TurnResult(
        Turn.FromString(row.turn), Session.FromString(row.view), unpack(row.events, StreamTurnResponse)
    )


def task(session_id: str, row: TaskRow, known: InboxTurn | None = None) -> TurnTask:
    """Decodes a session that was just leased.

    Args:
        session_id: Its id.
        row: What was read of it.
        known: A turn that need not be decoded if it is the one to run.

    Raises:
        DecodeError: it cannot be read.
    """
    if not isinstance(row.snapshot, str):
        raise DecodeError("the snapshot is not text")
    return TurnTask(
        Lease(session_id, row.token),
        Session.FromString(row.view),
        row.snapshot,
        known if known and known.turn.number == row.turn.number else inbox(session_id, row.turn),
        row.newest_flow,
    )


def accepted(row: AcceptedRow, new: NewTurn) -> AcceptedTurn:
    """Decodes the outcome of putting an input in an inbox.

    Raises:
        DecodeError: what is stored of the session cannot be read.
    """
    session_id = new.session_id
    if row.known is not None:
        return AcceptedTurn(
            row.number,
            joined=True,
            result=finished(row.finished) if row.finished else None,
            inbox=None if row.finished else inbox(session_id, row.known),
        )
    turn = InboxTurn(
        statuses.accepted_turn(new.turn, session_id, row.number),
        cancel_on_disconnect=new.cancel_on_disconnect,
    )
    return AcceptedTurn(
        row.number,
        task=task(session_id, row.task, turn) if row.task else None,
        inbox=turn,
        stopped_turn=row.stopped,
    )
