"""What can be given to a session: words, a message, an event; and what the machine is told of it."""

from __future__ import annotations

import hashlib
from datetime import tzinfo
from typing import Final

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.turn_pb2 import Event as WireEvent
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_servicekit.structs import to_plain, to_struct

from clawdbot_dialogue.core.machine import events
from clawdbot_dialogue.core.sessions.view import from_timestamp

SESSION_STARTED: Final = "session.started"
TIMER_FIRED: Final = "timer.fired"
RESERVED_PREFIXES: Final = ("session.", "timer.")
"""Names of events that the service makes itself begin with one of these; callers may not use them."""


def to_machine_event(turn: Turn, zone: tzinfo | None) -> events.Event:
    """What the machine is told of a turn's input: the same, however often the turn is run."""
    now = from_timestamp(turn.create_time).astimezone(zone)
    if turn.HasField("input"):
        return events.UserSaid(message_text(turn.input), now)
    given = turn.input_event
    data = to_plain(given.data)
    if given.name == SESSION_STARTED:
        return events.Started()
    if given.name == TIMER_FIRED:
        return events.TimerFired(str(data.get("timer_id", "")), now)
    return events.EventReceived(given.name, data, now)


def message_text(message: Message) -> str:
    """The text of a message."""
    return "\n".join([part.text for part in message.parts if part.WhichOneof("content") == "text"])


def session_started_event() -> WireEvent:
    """The input of an opening turn."""
    return WireEvent(name=SESSION_STARTED)


def timer_fired_event(timer_id: str) -> WireEvent:
    """The input of a turn that a timer makes."""
    return WireEvent(name=TIMER_FIRED, data=to_struct({"timer_id": timer_id}))


def input_digest(turn: Turn) -> bytes:
    """Tells a retry from another input under the same request_id; empty where there is none."""
    if not turn.request_id:
        return b""
    given = turn.input if turn.HasField("input") else turn.input_event
    kind = given.DESCRIPTOR.name.encode()
    return hashlib.sha256(kind + b"\0" + given.SerializeToString(deterministic=True)).digest()
