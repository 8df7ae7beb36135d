"""From the SQLite file's rows back to records, with something to show for a row that cannot be read."""

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
from clawdbot_dialogue.stores import record_helpers
from clawdbot_dialogue.stores.framing import unpack
from clawdbot_dialogue.stores.sqlite.rows import AcceptedRow, FinishedRow, TaskRow, TurnRow
from clawdbot_dialogue.stores.sqlite.sessions import SessionRow


def session(row: SessionRow) -> Session:
    """The session; quarantined, with what the columns tell, where its view cannot be read."""
    try:
        shown = Session.FromString(row.view)
    except DecodeError:
        shown = Session(id=row.id, tenant=row.tenant, user=row.user, flow=row.flow)
        shown.status = SESSION_STATUS_QUARANTINED
    if row.status == SESSION_STATUS_QUARANTINED:
        shown.status = SESSION_STATUS_QUARANTINED
    return shown


def turn(session_id: str, row: TurnRow) -> Turn:
    """The turn; FAILED, where it cannot be read."""
    try:
        shown = Turn.FromString(row.turn)
    except DecodeError:
        return Turn(
            id=turn_id(session_id, row.number),
            session_id=session_id,
            number=row.number,
            status=TURN_STATUS_FAILED,
            error=TurnError(reason="TURN_UNREADABLE", message="What is stored of this turn cannot be read."),
        )
    return shown if row.finished else record_helpers.accepted_turn(shown, session_id, row.number)


def inbox(session_id: str, row: TurnRow) -> InboxTurn:
    """A turn that is to be done.

    Raises:
        DecodeError: it cannot be read.
    """
    accepted = record_helpers.accepted_turn(Turn.FromString(row.turn), session_id, row.number)
    return InboxTurn(accepted, row.attempts, StopMode(row.stop), bool(row.cancel_on_disconnect))


def finished(row: FinishedRow) -> TurnResult:
    """A turn that is over.

    Raises:
        DecodeError: it cannot be read.
    """
    return TurnResult(
        Turn.FromString(row.turn), Session.FromString(row.view), unpack(row.events, StreamTurnResponse)
    )


def task(session_id: str, row: TaskRow) -> TurnTask:
    """A session just claimed.

    Raises:
        DecodeError: it cannot be read.
    """
    if not isinstance(row.snapshot, str):
        raise DecodeError("the snapshot is no text")
    return TurnTask(
        Lease(session_id, row.token), Session.FromString(row.view), row.snapshot, inbox(session_id, row.turn)
    )


def accepted(row: AcceptedRow, new: NewTurn) -> AcceptedTurn:
    """What became of an input.

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
    return AcceptedTurn(
        row.number,
        task=task(session_id, row.task) if row.task else None,
        inbox=InboxTurn(
            record_helpers.accepted_turn(new.turn, session_id, row.number),
            cancel_on_disconnect=new.cancel_on_disconnect,
        ),
        stopped_turn=row.stopped,
    )
