"""Makes the session that callers see, and the one that stores keep, from the machine's snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from clawdbot.dialogue.v1.session_pb2 import (
    SESSION_STATUS_ACTIVE,
    SESSION_STATUS_ENDED,
    SESSION_STATUS_HANDED_OFF,
    Session,
    SessionStatus,
)
from clawdbot_servicekit.structs import fill_struct
from google.protobuf.timestamp_pb2 import Timestamp

from clawdbot_dialogue.core.machine.snapshot import Snapshot

STATUSES: Final[Mapping[str, SessionStatus.ValueType]] = {
    "active": SESSION_STATUS_ACTIVE,
    "handed_off": SESSION_STATUS_HANDED_OFF,
    "ended": SESSION_STATUS_ENDED,
}
"""The snapshot's status → the session's."""


def to_timestamp(now: float) -> Timestamp:
    """Converts epoch seconds to a wire timestamp, exact to the microsecond."""
    seconds, micros = divmod(int(now * 1_000_000), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def from_timestamp(timestamp: Timestamp) -> datetime:
    """Converts a wire timestamp to a datetime in UTC."""
    return datetime.fromtimestamp(timestamp.seconds + timestamp.nanos / 1e9, UTC)


def session_from_snapshot(session: Session, snapshot: Snapshot, now: float | None = None) -> Session:
    """Returns a copy of the session, with state, slots, status and locale from the snapshot.

    Args:
        session: The session so far; it is not changed.
        snapshot: The machine's snapshot.
        now: Epoch seconds of the commit that the copy is for: raises the revision. None for no commit.
    """
    updated = Session()
    updated.CopyFrom(session)
    updated.state = snapshot.state
    del updated.states[:]
    if len(snapshot.states) > 1:
        updated.states.extend(snapshot.states)
    del updated.stack[:]
    for frame in snapshot.frames if len(snapshot.frames) > 1 else ():
        states = (active.state for active in frame.active_states)
        updated.stack.add(flow=frame.flow, flow_version=frame.version, states=states)
    updated.slots.Clear()
    fill_struct(updated.slots, snapshot.slots)
    updated.status = STATUSES[snapshot.status]
    updated.locale = snapshot.locale
    updated.handoff_queue = snapshot.handoff_queue
    if now is not None:
        _raise_revision(updated, now)
    return updated


def encode_snapshot(snapshot: Snapshot) -> str:
    """Returns the snapshot as stores keep it: JSON, without the fields that are at their default."""
    return msgspec.json.encode(snapshot).decode()


def touch(session: Session, now: float) -> Session:
    """Returns a copy of the session for a commit at `now` that changes nothing else."""
    updated = Session()
    updated.CopyFrom(session)
    _raise_revision(updated, now)
    return updated


def _raise_revision(session: Session, now: float) -> None:
    session.revision += 1
    session.update_time.CopyFrom(to_timestamp(now))
