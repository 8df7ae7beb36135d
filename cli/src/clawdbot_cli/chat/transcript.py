"""Shows a finished turn."""

from __future__ import annotations

from clawdbot.dialogue.v1 import turn_pb2 as pb

from clawdbot_cli.chat.screen import ASIDE, ERROR, PROMPT, USER, WARNING, Screen
from clawdbot_cli.chat.turn_view import format_call, format_error, format_parts, format_result
from clawdbot_cli.sanitize import one_line

STATUS_NOTES: dict[int, tuple[str, str]] = {
    pb.TURN_STATUS_ACCEPTED: ("(queued)", WARNING),
    pb.TURN_STATUS_RUNNING: ("(running)", WARNING),
    pb.TURN_STATUS_CANCELLED: ("(stopped)", WARNING),
}
"""Status of a turn that is neither done nor failed → the note under it, and its style."""


def show_turn(screen: Screen, turn: pb.Turn, *, with_input: bool = True) -> None:
    """Shows the turn's input, tool calls, replies and error.

    Args:
        screen: where to show it.
        turn: what to show.
        with_input: whether to show the input.
    """
    if with_input and turn.HasField("input"):
        screen.line(f"{PROMPT}{format_parts(turn.input.parts)}", USER)
    elif with_input and turn.HasField("input_event"):
        screen.line(f"({one_line(turn.input_event.name, 80)})", ASIDE)
    for record in turn.tool_calls:
        screen.line(format_call(record.call), ASIDE)
        screen.line(format_result(record), ASIDE)
    for reply in turn.replies:
        screen.line(format_parts(reply.parts))
    if turn.status == pb.TURN_STATUS_FAILED:
        screen.line(format_error(turn), ERROR)
    elif turn.status in STATUS_NOTES:
        screen.line(*STATUS_NOTES[turn.status])
