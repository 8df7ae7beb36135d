"""The rows of the in-memory store: one for each session and each turn."""

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
from clawdbot_dialogue.stores import statuses


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
        """The turn as an unfinished one."""
        return InboxTurn(self.turn, self.attempts, self.stop_mode, self.cancel_on_disconnect)


@dataclass(slots=True)
class SessionRow:
    """A session with its turns, lease, timers and journal."""

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
    """Of the lease; empty without one."""
    token: int = 0
    expires: float = 0.0
    running: int = 0
    """Number of the turn that the lease covers; 0 for none."""
    tool_calls: int = 0
    timers: dict[str, float] = field(default_factory=dict)
    journal: dict[tuple[int, str], JournalEntry] = field(default_factory=dict)

    def add(self, new: NewTurn) -> TurnRow:
        """Puts an input in the inbox."""
        number = len(self.turns) + 1
        turn = statuses.accepted_turn(new.turn, self.session.id, number)
        row = TurnRow(turn, new.digest, new.cancel_on_disconnect)
        self.turns.append(row)
        self.unfinished[number] = row
        if turn.request_id:
            self.requests[turn.request_id] = row
        return row

    def finish(self, row: TurnRow, result: TurnResult) -> None:
        """Finishes a turn."""
        row.result = result
        row.turn = result.turn
        self.unfinished.pop(result.turn.number, None)
        self.tool_calls += len(result.turn.tool_calls)

    def grant_lease(self, lease_request: LeaseRequest, newest_flow: int) -> TurnTask:
        """Leases the session for its earliest unfinished turn."""
        row = next(iter(self.unfinished.values()))
        self.owner, self.expires = lease_request.owner, lease_request.expires
        self.token += 1
        inbox_turn = self.start_attempt(row)
        lease = Lease(self.session.id, self.token)
        return TurnTask(lease, self.session, self.snapshot, inbox_turn, newest_flow)

    def start_attempt(self, row: TurnRow) -> InboxTurn:
        """Counts an attempt at a turn, which the lease now covers."""
        row.attempts += 1
        self.running = row.turn.number
        return row.inbox

    def end_lease(self) -> None:
        """Ends the lease."""
        self.owner, self.expires, self.running = "", 0.0, 0

    def as_listed(self, row: TurnRow) -> Turn:
        """Returns the turn with its status as of now."""
        return statuses.running_turn(row.turn) if row.turn.number == self.running else row.turn
