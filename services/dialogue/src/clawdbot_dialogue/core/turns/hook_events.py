"""The events that observer hooks get for a finished turn: how it went, never what was said."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, TurnStatus
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot_servicekit.structs import fill_struct

from clawdbot_dialogue.core.sessions.records import TurnResult


def hook_events(result: TurnResult, seconds: float, observes: Callable[[str], bool]) -> Iterator[HookSubject]:
    """Yields an event for the turn, and one for the session if the turn ended it, if there are observers.

    Args:
        result: The finished turn.
        seconds: How long it took.
        observes: Whether a point may have observers.
    """
    turn, session = result.turn, result.session
    if observes("turn_done"):
        yield _turn_done(result, seconds)
    has_ended = session.status == SESSION_STATUS_ENDED and turn.status == TURN_STATUS_DONE
    if has_ended and observes("session_ended"):
        yield HookSubject(point="session_ended", session_id=session.id, turn_id=turn.id, flow=session.flow)


def _turn_done(result: TurnResult, seconds: float) -> HookSubject:
    turn, session = result.turn, result.session
    facts = {
        "status": TurnStatus.Name(turn.status).removeprefix("TURN_STATUS_"),
        "seconds": seconds,
        "tool_calls": len(turn.tool_calls),
        "input_tokens": turn.usage.input_tokens,
        "output_tokens": turn.usage.output_tokens,
        "error": turn.error.reason,
    }
    subject = HookSubject(
        point="turn_done",
        session_id=session.id,
        turn_id=turn.id,
        flow=session.flow,
        state=session.state,
    )
    fill_struct(subject.facts, facts)
    return subject
