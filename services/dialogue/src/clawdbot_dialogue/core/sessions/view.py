"""The session that callers see, from the snapshot that the machine keeps."""

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


def to_timestamp(now: float) -> Timestamp:
    """Epoch seconds as the wire has them."""
    seconds, micros = divmod(int(now * 1_000_000), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def from_timestamp(stamped: Timestamp) -> datetime:
    """A moment of the wire, in UTC."""
    return datetime.fromtimestamp(stamped.seconds + stamped.nanos / 1e9, UTC)


def session_from_snapshot(session: Session, snapshot: Snapshot, now: float | None = None) -> Session:
    """The session with what the snapshot says of it; the given one is left alone.

    Args:
        session: as it was.
        snapshot: where the machine stands.
        now: epoch seconds of the commit that this is for; None where it is for none.
    """
    shown = Session()
    shown.CopyFrom(session)
    shown.state = snapshot.state
    del shown.states[:]
    if len(snapshot.states) > 1:
        shown.states.extend(snapshot.states)
    del shown.stack[:]
    for frame in snapshot.frames if len(snapshot.frames) > 1 else ():
        states = (place.state for place in frame.places)
        shown.stack.add(flow=frame.flow, flow_version=frame.version, states=states)
    shown.slots.Clear()
    fill_struct(shown.slots, snapshot.slots)
    shown.status = STATUSES[snapshot.status]
    shown.locale = snapshot.locale
    shown.handoff_queue = snapshot.handoff_queue
    if now is not None:
        _revise(shown, now)
    return shown


def encode_snapshot(snapshot: Snapshot) -> str:
    """The snapshot as stores keep it: JSON, without the fields that are at their default."""
    return msgspec.json.encode(snapshot).decode()


def touch(session: Session, now: float) -> Session:
    """The session one commit later."""
    shown = Session()
    shown.CopyFrom(session)
    _revise(shown, now)
    return shown


def _revise(session: Session, now: float) -> None:
    session.revision += 1
    session.update_time.CopyFrom(to_timestamp(now))
