"""What this process remembers of a session, so that a turn need not read what the one before it wrote.

Everything in it is written under the session's lease only. So it is good for the lease that follows directly
on the one under which it was remembered, and for no other: then no other process has written any of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, Session

from clawdbot_dialogue.core.machine.snapshot import Snapshot
from clawdbot_dialogue.core.sessions.records import JournalEntry, TurnTask
from clawdbot_dialogue.core.turns.history import History

MAX_BYTES: Final = 32 * 1024**2
"""Of all that is remembered."""
OVERHEAD: Final = 6144
"""Bytes of one memory in addition to what is counted, as measured."""


@dataclass(slots=True)
class SessionMemory:
    """What a turn starts from. The turns under one lease pass it on to each other."""

    session: Session
    """As of the last commit."""
    encoded_snapshot: str
    """The machine's snapshot as of the last commit, as stored."""
    history: History
    snapshot: Snapshot | None = None
    """The same, decoded; None if that is still to be done."""
    once_calls: Mapping[str, JournalEntry] | None = None
    """The calls with effect `once` that earlier turns left in the journal, by key; None if they are to be
    read."""


class _Kept(NamedTuple):
    token: int
    memory: SessionMemory
    size: int
    since: float


class SessionMemories:
    """The memories of the sessions that this process committed last."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._size = 0

    def keep(self, token: int, memory: SessionMemory) -> None:
        """Keeps what is known of a session as of its last commit.

        Args:
            token: Of the lease under which it was committed, which has ended; 0 if there was none yet.
            memory: What the next turn starts from.
        """
        session = memory.session
        self.forget(session.id)
        if session.status != SESSION_STATUS_ENDED:
            size = OVERHEAD + session.ByteSize() + len(memory.encoded_snapshot) + memory.history.size
            self._kept[session.id] = _Kept(token, memory, size, time.monotonic())
            self._size += size
        while self._size > MAX_BYTES:
            self.forget(next(iter(self._kept)))

    def recall(self, task: TurnTask) -> SessionMemory | None:
        """Returns a session's memory for the task's turn, and keeps it no longer; None if there is none."""
        kept = self.forget(task.lease.session_id)
        if kept is None or kept.token + 1 != task.lease.token:
            return None
        # Nothing else writes it. But a file can be put back to an earlier state, or be damaged.
        is_stored = (kept.memory.encoded_snapshot, kept.memory.session) == (task.snapshot, task.session)
        return kept.memory if is_stored else None

    @property
    def session_ids(self) -> frozenset[str]:
        """Returns the sessions that are remembered."""
        return frozenset(self._kept)

    def forget_idle(self, seconds: float) -> None:
        """Forgets the sessions that had no turn here for so long."""
        before = time.monotonic() - seconds
        while self._kept and next(iter(self._kept.values())).since <= before:
            self.forget(next(iter(self._kept)))

    def forget(self, session_id: str) -> _Kept | None:
        """Forgets a session."""
        kept = self._kept.pop(session_id, None)
        if kept is not None:
            self._size -= kept.size
        return kept
