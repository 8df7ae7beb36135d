"""The session that callers see, from the snapshot that the machine keeps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from clawdbot.dialogue.v1.session_pb2 import (
    SESSION_STATUS_ACTIVE,
    SESSION_STATUS_ENDED,
    SESSION_STATUS_HANDED_OFF,
    Session,
    SessionStatus,
)
from clawdbot_servicekit.structs import to_struct
from google.protobuf.timestamp_pb2 import Timestamp

from clawdbot_dialogue.core.machine.snapshot import Snapshot

STATUSES: Final[Mapping[str, SessionStatus.ValueType]] = {
    "active": SESSION_STATUS_ACTIVE,
    "handed_off": SESSION_STATUS_HANDED_OFF,
    "ended": SESSION_STATUS_ENDED,
}


def stamp(now: float) -> Timestamp:
    """Epoch seconds as the wire has them."""
    made = Timestamp()
    made.FromNanoseconds(int(now * 1_000_000) * 1000)
    return made


def moment(stamped: Timestamp) -> datetime:
    """A moment of the wire, in UTC."""
    return datetime.fromtimestamp(stamped.seconds + stamped.nanos / 1e9, UTC)


def stand(session: Session, snapshot: Snapshot) -> Session:
    """The session with what the snapshot says of it; the given one is left alone."""
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
    shown.slots.CopyFrom(to_struct(snapshot.slots))
    shown.status = STATUSES[snapshot.status]
    shown.locale = snapshot.locale
    shown.handoff_queue = snapshot.handoff_queue
    return shown


def revised(session: Session, now: float) -> Session:
    """The session one commit later."""
    shown = Session()
    shown.CopyFrom(session)
    shown.revision += 1
    shown.update_time.CopyFrom(stamp(now))
    return shown
