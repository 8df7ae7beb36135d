"""The opening turn: what a flow says and does before the person speaks, run while its session is created.

An opening that needs no tool and no model is complete before the session is stored, and is stored with it in
one transaction. Any other opening is stored as a turn to run, and runs like every other turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, Turn

from clawdbot_dialogue.core.machine.events import Started
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.sessions.ids import turn_id
from clawdbot_dialogue.core.sessions.records import NewSession, NewTurn
from clawdbot_dialogue.core.sessions.view import (
    encode_snapshot,
    session_from_snapshot,
    to_timestamp,
)
from clawdbot_dialogue.core.turns.inputs import input_digest, session_started_event
from clawdbot_dialogue.core.turns.step_loop import StepLoop
from clawdbot_dialogue.core.turns.turn_record import TurnRecord


@dataclass(frozen=True, slots=True)
class SessionStart:
    """A session that is about to be created, before its flow has started."""

    session: Session
    """Without state, slots and status."""
    snapshot: Snapshot
    """As `begin` returned it."""
    request_id: str
    digest: bytes
    """Of the caller's request."""
    newest_flow: int
    """Number of the deployed flow that was loaded last."""
    now: float
    """Epoch seconds."""


def run_opening(flows: FlowLookup, start: SessionStart) -> tuple[NewSession, Snapshot]:
    """Returns the session to store, with its opening: completed, still to run, or none; and its snapshot.

    An opening in which nothing is said leaves no turn: the session is stored as the flow left it, at
    revision 0.
    """
    session, now = start.session, start.now
    turn = Turn(
        id=turn_id(session.id, 1),
        session_id=session.id,
        number=1,
        input_event=session_started_event(),
        create_time=to_timestamp(now),
    )
    record = TurnRecord(turn, lambda _: None)
    loop = StepLoop(flows, record, start.snapshot, Started())
    if loop.next_effect() is not None:
        # It needs a tool or a model: nothing of this run is kept, and the turn starts from the beginning.
        to_run = NewTurn(session.tenant, session.id, turn, input_digest(turn))
        snapshot = start.snapshot
        session = session_from_snapshot(session, snapshot)
        new = NewSession(
            session,
            encode_snapshot(snapshot),
            start.request_id,
            start.digest,
            to_run,
            newest_flow=start.newest_flow,
        )
        return new, snapshot
    after = session_from_snapshot(session, loop.snapshot, now if record.has_text else None)
    opening = record.end(TURN_STATUS_DONE, after, now) if record.has_text else None
    new = NewSession(
        after,
        encode_snapshot(loop.snapshot),
        start.request_id,
        start.digest,
        opening,
        record.due_timers(now),
        start.newest_flow,
    )
    return new, loop.snapshot
