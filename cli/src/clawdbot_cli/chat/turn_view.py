"""A turn on the screen, event by event, however often its stream breaks and is joined again.

A stream that is joined begins with the turn's first event; what was shown already is not shown again.
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

from clawdbot_cli.chat.screen import ASIDE, ERROR, THOUGHT, WARNING, Screen
from clawdbot_cli.sanitize import one_line, pairs

LONGEST_RESULT: Final = 120
"""Characters of a tool's result."""

KEPT: Final = "What you write is kept for them, and not answered here."

STATUS: Final[Mapping[int, str]] = {
    SESSION_STATUS_HANDED_OFF: "A person has taken over (queue {queue}). " + KEPT,
    SESSION_STATUS_ENDED: "This conversation has ended. /flow {flow} begins another.",
    SESSION_STATUS_QUARANTINED: "What is stored of this conversation cannot be read; it takes no turns.",
}
"""What is said of a session that is not simply active."""


class TurnView:
    """Shows one turn."""

    def __init__(self, screen: Screen) -> None:
        self.begun = asyncio.Event()
        """Set with the first event: from now on the service knows the turn."""
        self.away = False
        """Whether there is no stream now, and no server to ask for one."""
        self.finished: pb.TurnFinished | None = None
        self._screen = screen
        self._replies: dict[int, _Running] = {}
        self._thoughts = _Running()
        self._calls: set[tuple[str, str]] = set()
        self._handed_off = False

    def show(self, event: StreamTurnResponse) -> None:
        """The next event of the stream."""
        self.begun.set()
        kind = event.WhichOneof("event")
        shown = SHOWN.get(kind or "")
        if shown is not None:
            shown(self, getattr(event, str(kind)))

    def rejoin(self) -> None:
        """The stream has broken; the next event is the first one of another."""
        self._screen.end_line()
        for running in (*self._replies.values(), self._thoughts):
            running.repeated = 0

    def text(self, delta: pb.TurnTextDelta) -> None:
        """The next piece of a reply."""
        if delta.reply_index not in self._replies:
            self._screen.end_line()
        self._write(self._replies.setdefault(delta.reply_index, _Running()), delta.text, "")

    def thought(self, delta: pb.TurnReasoningDelta) -> None:
        """The next piece of the model's reasoning."""
        self._write(self._thoughts, delta.text, THOUGHT)

    def call_started(self, started: pb.TurnToolCallStarted) -> None:
        """A tool runs."""
        if self._first("started", started.call):
            self._screen.line(call_text(started.call), ASIDE)

    def call_finished(self, finished: pb.TurnToolCallFinished) -> None:
        """A tool has answered."""
        record = finished.record
        if self._first("finished", record.call):
            style = WARNING if record.result.is_error or record.outcome_unknown else ASIDE
            self._screen.line(result_text(record), style)

    def handoff(self, handoff: pb.Handoff) -> None:
        """A person takes over."""
        if not self._handed_off:
            self._handed_off = True
            self._screen.line(handoff_text(handoff.queue), WARNING)

    def finish(self, finished: pb.TurnFinished) -> None:
        """The end, with whatever the stream did not say on its way."""
        self.finished = finished
        turn = finished.turn
        for index, reply in enumerate(turn.replies):
            if index not in self._replies:
                self._screen.line(words(reply.parts))
        self._screen.end_line()
        if turn.status == pb.TURN_STATUS_FAILED:
            self._screen.line(failure_text(turn), ERROR)
        elif turn.status == pb.TURN_STATUS_CANCELLED:
            self._screen.line("(stopped)", WARNING)
        self._screen.line(state_text(finished.session), ASIDE)
        if not self._handed_off:
            show_status(self._screen, finished.session)

    def _write(self, running: _Running, piece: str, style: str) -> None:
        fresh, anew = running.take(piece)
        if anew:
            self._screen.line("(the reply was begun anew)", ASIDE)
        self._screen.stream(fresh, style)

    def _first(self, what: str, call: ToolCall) -> bool:
        """Whether this has not been shown yet."""
        key = (what, call.id)
        first = key not in self._calls
        self._calls.add(key)
        return first


class _Running:
    """Running text that may be told again from its beginning."""

    def __init__(self) -> None:
        self.shown = ""
        self.repeated = 0
        """Characters of `shown` that the stream which runs now has told."""

    def take(self, piece: str) -> tuple[str, bool]:
        """What of the piece is new, and whether the text differs from the one that was shown before."""
        known = self.shown[self.repeated : self.repeated + len(piece)]
        anew = not piece.startswith(known)
        if anew:
            piece = self.shown[: self.repeated] + piece
            self.shown = known = ""
            self.repeated = 0
        fresh = piece[len(known) :]
        self.shown += fresh
        self.repeated += len(piece)
        return fresh, anew


SHOWN: Final[Mapping[str, Any]] = {
    "text_delta": TurnView.text,
    "reasoning_delta": TurnView.thought,
    "tool_call_started": TurnView.call_started,
    "tool_call_finished": TurnView.call_finished,
    "handoff": TurnView.handoff,
    "turn_finished": TurnView.finish,
}
"""What is shown of each kind of event. States and slots are told together at the end."""


def words(parts: Sequence[Part]) -> str:
    """The text of a message; what is no text, by its kind."""
    said = [part.text if part.HasField("text") else f"[{part.WhichOneof('content')}]" for part in parts]
    return "\n".join(said)


def call_text(call: ToolCall) -> str:
    """A tool call on one line."""
    return f"  ⚙ {one_line(call.name, 80)} {pairs(call.arguments)}".rstrip()


def result_text(record: pb.ToolCallRecord) -> str:
    """What a tool answered, on one line."""
    if record.outcome_unknown:
        return "  → it is not known whether this took place"
    return f"  → {one_line(_answer(record.result), LONGEST_RESULT)}"


def state_text(session: Session) -> str:
    """Where a session is, and its filled slots."""
    return f"[{session.state or '–'}] {pairs(session.slots)}".rstrip()


def handoff_text(queue: str) -> str:
    """That a person takes over."""
    return f"A person takes over (queue {one_line(queue, 80)}). " + KEPT


def show_status(screen: Screen, session: Session) -> None:
    """Why the conversation does not simply go on, where it does not."""
    template = STATUS.get(session.status)
    if template is not None:
        facts = {"flow": one_line(session.flow, 80), "queue": one_line(session.handoff_queue, 80)}
        screen.line(template.format(**facts), ASIDE)


def failure_text(turn: pb.Turn) -> str:
    """Why a turn failed."""
    return f"{turn.error.message} ({turn.error.reason})"


def _answer(result: ToolResult) -> str:
    if result.HasField("structured") and result.structured.fields:
        return pairs(result.structured)
    return words(result.content) or "done"
