"""The events that observer hooks get for a finished turn: how it went, never what was said."""

from __future__ import annotations

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, TurnStatus
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot_servicekit.structs import fill_struct

from clawdbot_dialogue.core.sessions.records import TurnResult


def hook_events(result: TurnResult, seconds: float) -> list[HookSubject]:
    """Returns one event for the turn, and one for the session if the turn ended it.

    Args:
        result: The finished turn.
        seconds: How long it took.
    """
    turn, session = result.turn, result.session
    facts = {
        "status": TurnStatus.Name(turn.status).removeprefix("TURN_STATUS_"),
        "seconds": seconds,
        "tool_calls": len(turn.tool_calls),
        "input_tokens": turn.usage.input_tokens,
        "output_tokens": turn.usage.output_tokens,
        "error": turn.error.reason,
    }
    turn_done = HookSubject(
        point="turn_done",
        session_id=session.id,
        turn_id=turn.id,
        flow=session.flow,
        state=session.state,
    )
    fill_struct(turn_done.facts, facts)
    if session.status != SESSION_STATUS_ENDED or turn.status != TURN_STATUS_DONE:
        return [turn_done]
    session_ended = HookSubject(
        point="session_ended", session_id=session.id, turn_id=turn.id, flow=session.flow
    )
    return [turn_done, session_ended]
