"""A turn that is over, as lines."""

from __future__ import annotations

from clawdbot.dialogue.v1 import turn_pb2 as pb

from clawdbot_cli.chat.screen import ASIDE, ERROR, MARK, WARNING, YOU, Screen
from clawdbot_cli.chat.turn_view import call_text, failure_text, result_text, words
from clawdbot_cli.sanitize import one_line

ENDED: dict[int, tuple[str, str]] = {
    pb.TURN_STATUS_ACCEPTED: ("(waits for its turn)", WARNING),
    pb.TURN_STATUS_RUNNING: ("(is running)", WARNING),
    pb.TURN_STATUS_CANCELLED: ("(stopped)", WARNING),
}
"""What is said of a turn that did not simply end."""


def show_turn(screen: Screen, turn: pb.Turn, *, asked: bool = True) -> None:
    """The turn's input, calls, replies and, where there is one, its mishap.

    Args:
        screen: where to.
        turn: what to show.
        asked: whether to show the input, too.
    """
    if asked and turn.HasField("input"):
        screen.line(f"{MARK}{words(turn.input.parts)}", YOU)
    elif asked and turn.HasField("input_event"):
        screen.line(f"({one_line(turn.input_event.name, 80)})", ASIDE)
    for record in turn.tool_calls:
        screen.line(call_text(record.call), ASIDE)
        screen.line(result_text(record), ASIDE)
    for reply in turn.replies:
        screen.line(words(reply.parts))
    if turn.status == pb.TURN_STATUS_FAILED:
        screen.line(failure_text(turn), ERROR)
    elif turn.status in ENDED:
        screen.line(*ENDED[turn.status])
