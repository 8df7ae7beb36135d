"""The inputs of turns: a text, a message or an event, as the machine takes them."""

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
"""The service's own events begin with one of these; a caller's event must not."""


def to_machine_event(turn: Turn, zone: tzinfo | None) -> events.Event:
    """Returns a turn's input as the machine's event: the same in every attempt."""
    now = from_timestamp(turn.create_time).astimezone(zone)
    if turn.HasField("input"):
        return events.UserSaid(message_text(turn.input), now)
    event = turn.input_event
    data = to_plain(event.data)
    if event.name == SESSION_STARTED:
        return events.Started()
    if event.name == TIMER_FIRED:
        return events.TimerFired(str(data.get("timer_id", "")), now)
    return events.EventReceived(event.name, data, now)


def message_text(message: Message) -> str:
    """Returns the text of a message."""
    return "\n".join([part.text for part in message.parts if part.WhichOneof("content") == "text"])


def session_started_event() -> WireEvent:
    """Returns the input of an opening turn."""
    return WireEvent(name=SESSION_STARTED)


def timer_fired_event(timer_id: str) -> WireEvent:
    """Returns the input of a turn that a timer starts."""
    return WireEvent(name=TIMER_FIRED, data=to_struct({"timer_id": timer_id}))


def input_digest(turn: Turn) -> bytes:
    """Returns a digest of the input: tells a retry from another input. Empty without a request_id."""
    if not turn.request_id:
        return b""
    content = turn.input if turn.HasField("input") else turn.input_event
    kind = content.DESCRIPTOR.name.encode()
    return hashlib.sha256(kind + b"\0" + content.SerializeToString(deterministic=True)).digest()
