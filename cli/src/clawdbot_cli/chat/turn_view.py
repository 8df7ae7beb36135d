"""Shows a turn event by event, also when its stream breaks and is joined again.

A joined stream starts with the turn's first event; what was already shown is not shown again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clawdbot.common.v1.message_pb2 import Part, ToolCall, ToolResult
from clawdbot.dialogue.v1 import turn_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import (
    SESSION_STATUS_ENDED,
    SESSION_STATUS_HANDED_OFF,
    SESSION_STATUS_QUARANTINED,
    Session,
)

from clawdbot_cli.chat.screen import ASIDE, ERROR, REASONING, WARNING, Screen
from clawdbot_cli.sanitize import format_arguments, format_pairs, one_line

MAX_RESULT_LENGTH: Final = 120
"""Characters of a tool's result."""

NOT_ANSWERED: Final = "Your messages are kept for them but not answered here."

STATUS_MESSAGES: Final[Mapping[int, str]] = {
    SESSION_STATUS_HANDED_OFF: "A person has taken over (queue {queue}). " + NOT_ANSWERED,
    SESSION_STATUS_ENDED: "This conversation has ended. Type /flow {flow} to start another.",
    SESSION_STATUS_QUARANTINED: "The stored state of this conversation cannot be read. It takes no turns.",
}
"""Status of a session that is not active → what is said about it."""


class TurnView:
    """Shows one turn."""

    def __init__(self, screen: Screen) -> None:
        self.started = asyncio.Event()
        """Set with the first event: from then on the service knows the turn."""
        self.disconnected = False
        """Whether there is no stream, and no server to ask for one."""
        self.finished: pb.TurnFinished | None = None
        self._screen = screen
        self._replies: dict[int, _ReplayedText] = {}
        self._reasoning = _ReplayedText()
        self._calls: set[tuple[str, str]] = set()
        self._handed_off = False

    def show(self, event: StreamTurnResponse) -> None:
        """Shows the next event of the stream."""
        self.started.set()
        kind = event.WhichOneof("event")
        handler = HANDLERS.get(kind or "")
        if handler is not None:
            handler(self, getattr(event, str(kind)))

    def rejoin(self) -> None:
        """The stream has broken; the next event is the first of another stream."""
        self._screen.end_line()
        for text in (*self._replies.values(), self._reasoning):
            text.replayed = 0

    def text(self, delta: pb.TurnTextDelta) -> None:
        """The next chunk of a reply."""
        if delta.reply_index not in self._replies:
            self._screen.end_line()
        self._stream(self._replies.setdefault(delta.reply_index, _ReplayedText()), delta.text, "")

    def reasoning(self, delta: pb.TurnReasoningDelta) -> None:
        """The next chunk of the model's reasoning."""
        self._stream(self._reasoning, delta.text, REASONING)

    def call_started(self, started: pb.TurnToolCallStarted) -> None:
        """A tool is called."""
        if self._is_new("started", started.call):
            self._screen.line(format_call(started.call), ASIDE)

    def call_finished(self, finished: pb.TurnToolCallFinished) -> None:
        """A tool has returned."""
        record = finished.record
        if self._is_new("finished", record.call):
            style = WARNING if record.result.is_error or record.outcome_unknown else ASIDE
            self._screen.line(format_result(record), style)

    def handoff(self, handoff: pb.Handoff) -> None:
        """A person takes over."""
        if not self._handed_off:
            self._handed_off = True
            self._screen.line(format_handoff(handoff.queue), WARNING)

    def finish(self, finished: pb.TurnFinished) -> None:
        """The end of the turn, with everything that was not streamed."""
        self.finished = finished
        turn = finished.turn
        for index, reply in enumerate(turn.replies):
            if index not in self._replies:
                self._screen.line(format_parts(reply.parts))
        self._screen.end_line()
        if turn.status == pb.TURN_STATUS_FAILED:
            self._screen.line(format_error(turn), ERROR)
        elif turn.status == pb.TURN_STATUS_CANCELLED:
            self._screen.line("(stopped)", WARNING)
        self._screen.line(format_state(finished.session), ASIDE)
        if not self._handed_off:
            show_status(self._screen, finished.session)

    def _stream(self, text: _ReplayedText, chunk: str, style: str) -> None:
        new, restarted = text.add(chunk)
        if restarted:
            self._screen.line("(the reply was started again)", ASIDE)
        self._screen.stream(new, style)

    def _is_new(self, event: str, call: ToolCall) -> bool:
        """Whether this event of the call has not been shown yet."""
        key = (event, call.id)
        new = key not in self._calls
        self._calls.add(key)
        return new


class _ReplayedText:
    """Streamed text that may be replayed from its beginning."""

    def __init__(self) -> None:
        self.shown = ""
        self.replayed = 0
        """Characters of `shown` that the current stream has sent."""

    def add(self, chunk: str) -> tuple[str, bool]:
        """The new part of the chunk, and whether the text differs from what was shown before."""
        known = self.shown[self.replayed : self.replayed + len(chunk)]
        restarted = not chunk.startswith(known)
        if restarted:
            chunk = self.shown[: self.replayed] + chunk
            self.shown = known = ""
            self.replayed = 0
        new = chunk[len(known) :]
        self.shown += new
        self.replayed += len(chunk)
        return new, restarted


HANDLERS: Final[Mapping[str, Any]] = {
    "text_delta": TurnView.text,
    "reasoning_delta": TurnView.reasoning,
    "tool_call_started": TurnView.call_started,
    "tool_call_finished": TurnView.call_finished,
    "handoff": TurnView.handoff,
    "turn_finished": TurnView.finish,
}
"""Kind of event → the method that shows it. States and slots are shown together at the end."""


def format_parts(parts: Sequence[Part]) -> str:
    """The text of a message; a part that is not text is shown as its kind: "[image]"."""
    texts = [part.text if part.HasField("text") else f"[{part.WhichOneof('content')}]" for part in parts]
    return "\n".join(texts)


def format_call(call: ToolCall) -> str:
    """A tool call on one line."""
    return f"  ⚙ {one_line(call.name, 80)} {format_arguments(call)}".rstrip()


def format_result(record: pb.ToolCallRecord) -> str:
    """The result of a tool call on one line."""
    if record.outcome_unknown:
        return "  → unknown whether this call took effect"
    return f"  → {one_line(_result_text(record.result), MAX_RESULT_LENGTH)}"


def format_state(session: Session) -> str:
    """The state of a session, and its filled slots."""
    return f"[{session.state or '–'}] {format_pairs(session.slots)}".rstrip()


def format_handoff(queue: str) -> str:
    """The sentence that says that a person takes over."""
    return f"A person is taking over (queue {one_line(queue, 80)}). " + NOT_ANSWERED


def show_status(screen: Screen, session: Session) -> None:
    """Says why the conversation has stopped, if it has."""
    template = STATUS_MESSAGES.get(session.status)
    if template is not None:
        values = {"flow": one_line(session.flow, 80), "queue": one_line(session.handoff_queue, 80)}
        screen.line(template.format(**values), ASIDE)


def format_error(turn: pb.Turn) -> str:
    """Why a turn failed."""
    return f"{turn.error.message} ({turn.error.reason})"


def _result_text(result: ToolResult) -> str:
    if result.HasField("structured") and result.structured.fields:
        return format_pairs(result.structured)
    return format_parts(result.content) or "done"
