"""How a session begins: its flow is entered; what it does before anybody speaks becomes the first turn."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, Turn

from clawdbot_dialogue.core.machine.events import Started
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.machine.step import step
from clawdbot_dialogue.core.sessions.ids import turn_id
from clawdbot_dialogue.core.sessions.records import NewSession, NewTurn
from clawdbot_dialogue.core.sessions.view import session_from_snapshot, to_timestamp, touch
from clawdbot_dialogue.core.turns.inputs import input_digest, session_started_event
from clawdbot_dialogue.core.turns.turn_attempt import record_effect
from clawdbot_dialogue.core.turns.turn_record import TurnRecord


@dataclass(frozen=True, slots=True)
class SessionStart:
    """A session about to be, before its flow is entered."""

    session: Session
    """Without state, slots and status."""
    snapshot: Snapshot
    request_id: str
    digest: bytes
    now: float
    """Epoch seconds."""


def opened(flows: FlowLookup, beginning: SessionStart) -> NewSession:
    """The session with its opening: done at once where it needs no tool and no model, else a turn to do."""
    session, now = session_from_snapshot(beginning.session, beginning.snapshot), beginning.now
    turn = Turn(
        id=turn_id(session.id, 1),
        session_id=session.id,
        number=1,
        input_event=session_started_event(),
        create_time=to_timestamp(now),
    )
    taken = step(flows, beginning.snapshot, Started())
    record = TurnRecord(turn, lambda _: None)
    record.explanation.add_step(taken)
    if not all(record_effect(record, effect) for effect in taken.effects):
        waiting = NewTurn(session.tenant, session.id, turn, input_digest(turn))
        return NewSession(
            session, packed(beginning.snapshot), beginning.request_id, beginning.digest, waiting
        )
    session = session_from_snapshot(session, taken.snapshot)
    opening = None
    if record.has_text:
        session = touch(session, now)
        opening = record.end(TURN_STATUS_DONE, session, now)
    timers = {name: now + after for name, after in record.set_timers.items()}
    return NewSession(
        session, packed(taken.snapshot), beginning.request_id, beginning.digest, opening, timers
    )


def packed(snapshot: Snapshot) -> str:
    """The snapshot as stores keep it."""
    return msgspec.json.encode(snapshot).decode()
