"""What the memory store keeps: a row for each session and each turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn

from clawdbot_dialogue.core.sessions.records import (
    InboxTurn,
    JournalEntry,
    Lease,
    LeaseRequest,
    NewTurn,
    StopMode,
    TurnResult,
    TurnTask,
)
from clawdbot_dialogue.stores import record_helpers


@dataclass(slots=True)
class TurnRow:
    """A turn, finished or not."""

    turn: Turn
    digest: bytes
    cancel_on_disconnect: bool
    attempts: int = 0
    stop_mode: StopMode = StopMode.NONE
    result: TurnResult | None = None

    @property
    def inbox(self) -> InboxTurn:
        """The turn as one that is to be done."""
        return InboxTurn(self.turn, self.attempts, self.stop_mode, self.cancel_on_disconnect)


@dataclass(slots=True)
class SessionRow:
    """A session with everything of it."""

    position: int
    session: Session
    snapshot: str
    request_id: str
    digest: bytes
    turns: list[TurnRow] = field(default_factory=list)
    unfinished: dict[int, TurnRow] = field(default_factory=dict)
    """By number, in order."""
    requests: dict[str, TurnRow] = field(default_factory=dict)
    owner: str = ""
    token: int = 0
    expires: float = 0.0
    running: int = 0
    """Number of the turn that the claim is for; 0 for none."""
    tool_calls: int = 0
    timers: dict[str, float] = field(default_factory=dict)
    journal: dict[tuple[int, str], JournalEntry] = field(default_factory=dict)

    def add(self, new: NewTurn) -> TurnRow:
        """Puts an input in the inbox."""
        number = len(self.turns) + 1
        turn = record_helpers.accepted_turn(new.turn, self.session.id, number)
        row = TurnRow(turn, new.digest, new.cancel_on_disconnect)
        self.turns.append(row)
        self.unfinished[number] = row
        if turn.request_id:
            self.requests[turn.request_id] = row
        return row

    def finish(self, row: TurnRow, finished: TurnResult) -> None:
        """Ends a turn."""
        row.result = finished
        row.turn = finished.turn
        self.unfinished.pop(finished.turn.number, None)
        self.tool_calls += len(finished.turn.tool_calls)

    def grant_lease(self, bid: LeaseRequest) -> TurnTask:
        """Gives the bidder the claim, for the earliest unfinished turn."""
        row = next(iter(self.unfinished.values()))
        self.owner, self.expires = bid.owner, bid.expires
        self.token += 1
        return TurnTask(
            Lease(self.session.id, self.token), self.session, self.snapshot, self.start_attempt(row)
        )

    def start_attempt(self, row: TurnRow) -> InboxTurn:
        """Counts an attempt at a turn."""
        row.attempts += 1
        self.running = row.turn.number
        return row.inbox

    def end_lease(self) -> None:
        """Ends the claim."""
        self.owner, self.expires, self.running = "", 0.0, 0

    def as_listed(self, row: TurnRow) -> Turn:
        """The turn as others see it."""
        return record_helpers.running_turn(row.turn) if row.turn.number == self.running else row.turn
