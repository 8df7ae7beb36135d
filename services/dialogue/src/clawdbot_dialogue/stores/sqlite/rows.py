"""What goes to and comes from the SQLite file: messages serialised, everything else plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy, Lease

NUMBER_BITS: Final = 28
"""A session has room for 268 million turns, a file for 34 thousand million sessions."""


def turn_key(session: int, number: int) -> int:
    """The key of a session's n-th turn."""
    return session << NUMBER_BITS | number


class TurnRow(NamedTuple):
    """A turn as stored, without what only a finished one has."""

    key: int
    finished: int
    attempts: int
    stop: int
    cancel_on_disconnect: int
    turn: bytes

    @property
    def number(self) -> int:
        """Position in the session."""
        return self.key & (1 << NUMBER_BITS) - 1


class FinishedRow(NamedTuple):
    """What a finished turn has besides."""

    turn: bytes
    view: bytes
    events: bytes


class TaskRow(NamedTuple):
    """A session just claimed, and the turn to do."""

    token: int
    view: bytes
    snapshot: str
    turn: TurnRow


class AcceptedRow(NamedTuple):
    """What became of an input."""

    number: int
    known: TurnRow | None = None
    finished: FinishedRow | None = None
    task: TaskRow | None = None
    stopped: int | None = None


class NewTurnRow(NamedTuple):
    """An input, serialised."""

    tenant: str
    session_id: str
    request_id: str
    digest: bytes
    turn: bytes
    concurrency: ConcurrencyPolicy
    cancel_on_disconnect: bool
    limit: int | None


class CommitRow(NamedTuple):
    """A turn's end, serialised."""

    lease: Lease
    revision: int
    number: int
    status: int
    tool_calls: int
    view: bytes
    snapshot: str | None
    turn: bytes
    events: bytes
    transcript: bytes
    explanation: bytes
    set_timers: Sequence[tuple[str, float]]
    clear_timers: Sequence[str] | Literal["all"]
    clear_journal: Sequence[str] | Literal["all"]
    lease_expires: float
