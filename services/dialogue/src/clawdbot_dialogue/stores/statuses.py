"""Copies of turns and sessions with the status that every store gives them."""

from __future__ import annotations

from datetime import UTC, datetime

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_QUARANTINED, Session
from clawdbot.dialogue.v1.turn_pb2 import (
    TURN_STATUS_ACCEPTED,
    TURN_STATUS_FAILED,
    TURN_STATUS_RUNNING,
    Turn,
    TurnError,
)

from clawdbot_dialogue.core.sessions.ids import turn_id


def accepted_turn(turn: Turn, session_id: str, number: int) -> Turn:
    """Returns the turn as it is in an inbox, with its ids and its number."""
    accepted = Turn()
    accepted.CopyFrom(turn)
    accepted.id = turn_id(session_id, number)
    accepted.session_id = session_id
    accepted.number = number
    accepted.status = TURN_STATUS_ACCEPTED
    return accepted


def running_turn(turn: Turn) -> Turn:
    """Returns the turn as it is while a process runs it."""
    running = Turn()
    running.CopyFrom(turn)
    running.status = TURN_STATUS_RUNNING
    return running


def quarantined_turn(turn: Turn, now: float) -> Turn:
    """Returns an unfinished turn as the quarantine of its session ends it."""
    failed = Turn()
    failed.CopyFrom(turn)
    failed.status = TURN_STATUS_FAILED
    failed.error.CopyFrom(
        TurnError(
            reason="SESSION_QUARANTINED",
            message="What is stored of this session cannot be read; start another one.",
        )
    )
    failed.finish_time.FromDatetime(datetime.fromtimestamp(now, UTC))
    return failed


def quarantined_session(session: Session) -> Session:
    """Returns the session as it is in quarantine."""
    quarantined = Session()
    quarantined.CopyFrom(session)
    quarantined.status = SESSION_STATUS_QUARANTINED
    return quarantined
