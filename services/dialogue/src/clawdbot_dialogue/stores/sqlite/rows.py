"""Rows of the SQLite store: protobuf messages are serialised, everything else is plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from clawdbot_dialogue.core.sessions.records import ConcurrencyPolicy, Lease

NUMBER_BITS: Final = 28
"""Bits of a turn's number in its key: room for 268 million turns a session, 34 billion sessions a file."""


def turn_key(session: int, number: int) -> int:
    """Returns the key of a session's n-th turn."""
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
        """Position in the session, from 1."""
        return self.key & (1 << NUMBER_BITS) - 1


class FinishedRow(NamedTuple):
    """The result of a finished turn."""

    turn: bytes
    view: bytes
    events: bytes


class TaskRow(NamedTuple):
    """A session that was just leased, and the turn to run."""

    token: int
    view: bytes
    snapshot: str
    turn: TurnRow
    newest_flow: int


class AcceptedRow(NamedTuple):
    """The outcome of putting an input in an inbox."""

    number: int
    known: TurnRow | None = None
    """The turn that the request_id named before."""
    finished: FinishedRow | None = None
    task: TaskRow | None = None
    stopped: int | None = None


class NewTurnRow(NamedTuple):
    """An input."""

    tenant: str
    session_id: str
    request_id: str
    digest: bytes
    turn: bytes
    concurrency: ConcurrencyPolicy
    cancel_on_disconnect: bool
    limit: int | None


class CommitRow(NamedTuple):
    """The end of a turn."""

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
