"""What every store does alike to the messages it is given: numbers, statuses, the words of a quarantine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_QUARANTINED, Session
from clawdbot.dialogue.v1.turn_pb2 import (
    TURN_STATUS_ACCEPTED,
    TURN_STATUS_FAILED,
    TURN_STATUS_RUNNING,
    Turn,
    TurnError,
)

from clawdbot_dialogue.core.sessions.ids import turn_id

DELETION_RETRY_SECONDS = 86_400.0
"""Seconds for which a deletion is remembered under its request_id."""


def accepted_turn(turn: Turn, session_id: str, number: int) -> Turn:
    """The turn as the inbox keeps it."""
    kept = Turn()
    kept.CopyFrom(turn)
    kept.id = turn_id(session_id, number)
    kept.session_id = session_id
    kept.number = number
    kept.status = TURN_STATUS_ACCEPTED
    return kept


def running_turn(turn: Turn) -> Turn:
    """The turn as it looks while somebody does it."""
    shown = Turn()
    shown.CopyFrom(turn)
    shown.status = TURN_STATUS_RUNNING
    return shown


def quarantined_turn(turn: Turn, now: float) -> Turn:
    """The turn as a quarantine leaves it."""
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
    """The session as a quarantine shows it."""
    shown = Session()
    shown.CopyFrom(session)
    shown.status = SESSION_STATUS_QUARANTINED
    return shown


def recent_whole_turns(transcripts: Iterable[Iterable[Message]], limit: int) -> tuple[Message, ...]:
    """The end of a transcript, given newest first: whole turns, at least one, up to `limit` messages."""
    kept: list[tuple[Message, ...]] = []
    room = limit
    for transcript in transcripts:
        messages = tuple(transcript)
        if not messages:
            continue
        if kept and len(messages) > room:
            break
        kept.append(messages)
        room -= len(messages)
    return tuple(message for messages in reversed(kept) for message in messages)
