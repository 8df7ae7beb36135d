"""The session store in one SQLite file.

Encodes and decodes here, on the event loop's side. The SQL of its neighbours runs in two threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_servicekit.sqlite import SqliteExecutor
from google.protobuf.message import DecodeError
from typing_extensions import override

from clawdbot_dialogue.core.errors import DialogueError, SessionQuarantined
from clawdbot_dialogue.core.sessions.records import (
    AcceptedTurn,
    Commit,
    CreatedSession,
    DeletionCounts,
    DeployedFlow,
    DueTimer,
    FoundTurn,
    InboxTurn,
    JournalEntry,
    Lease,
    LeaseRequest,
    NewSession,
    NewTurn,
    Page,
    PendingSession,
    SessionFilter,
    StopMode,
    TurnResult,
    TurnTask,
)
from clawdbot_dialogue.core.sessions.store import FlowsOutdated, SessionStore
from clawdbot_dialogue.stores import statuses
from clawdbot_dialogue.stores.framing import pack, unpack
from clawdbot_dialogue.stores.sqlite import decoder, flows, journal, sessions, timers, turns
from clawdbot_dialogue.stores.sqlite.rows import CommitRow, FinishedRow, NewTurnRow, TurnRow
from clawdbot_dialogue.stores.sqlite.schema import session_file
from clawdbot_dialogue.stores.sqlite.sessions import NewSessionRow, OpeningRow
from clawdbot_dialogue.stores.transcript_window import recent_whole_turns

T = TypeVar("T")
_UNREADABLE = "its row in the store cannot be decoded"


class SqliteSessionStore(SessionStore):
    """A session store in a SQLite file in WAL mode. Open and close it in the event loop that uses it."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        file = session_file(path)
        # Operations raise a DialogueError before they write.
        self._writer = SqliteExecutor(file, refusals=(DialogueError, FlowsOutdated))
        self._reader = SqliteExecutor(file, writes=False)

    @property
    @override
    def description(self) -> str:
        return f"SQLite, {self._path}"

    @override
    async def open(self) -> None:
        await self._writer.open()
        await self._reader.open()

    @override
    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()

    @override
    async def check(self) -> None:
        await self._writer.check()
        await self._reader.check()

    @override
    async def deploy_flow(self, name: str, version: int, source: str, now: float) -> DeployedFlow:
        return await self._writer.run(lambda db: flows.deploy(db, name, version, source, now))

    @override
    async def deployed_flows(self, after: int) -> tuple[DeployedFlow, ...]:
        return await self._reader.run(lambda db: flows.deployed(db, after))

    @override
    async def create_session(self, new: NewSession, lease_request: LeaseRequest) -> CreatedSession:
        view = new.session
        row = NewSessionRow(
            view.id,
            view.tenant,
            view.user,
            view.flow,
            view.status,
            new.request_id,
            new.digest,
            view.revision,
            view.SerializeToString(),
            new.snapshot,
            tuple(new.timers.items()),
            new.newest_flow,
        )
        opening = _opening(new.opening)
        known, task = await self._writer.run(lambda db: sessions.create(db, row, opening, lease_request))
        if known is not None:
            return CreatedSession(decoder.session(known), existed=True)
        return CreatedSession(view, task=decoder.task(view.id, task) if task else None)

    @override
    async def get_session(self, tenant: str, session_id: str) -> Session:
        return decoder.session(await self._reader.run(lambda db: sessions.get(db, tenant, session_id)))

    @override
    async def list_sessions(
        self, tenant: str, session_filter: SessionFilter, size: int, before: int | None
    ) -> Page[Session]:
        rows = await self._reader.run(
            lambda db: sessions.list_sessions(db, tenant, session_filter, size + 1, before)
        )
        shown = tuple(decoder.session(row) for row in rows[:size])
        return Page(shown, rows[size - 1].seq if len(rows) > size else None)

    @override
    async def existing_sessions(self, session_ids: Collection[str]) -> frozenset[str]:
        return await self._reader.run(lambda db: sessions.existing(db, session_ids))

    @override
    async def delete_session(
        self, tenant: str, session_id: str, request_id: str, now: float
    ) -> DeletionCounts:
        return await self._writer.erase(lambda db: sessions.delete(db, tenant, session_id, request_id, now))

    @override
    async def quarantine(self, session_id: str, explanation: str, now: float) -> None:
        def operation(db: sqlite3.Connection) -> None:
            rows = sessions.unfinished_turns(db, session_id)
            ends = [
                (
                    row.key,
                    statuses.quarantined_turn(decoder.turn(session_id, row), now).SerializeToString(),
                    b"",
                )
                for row in rows
            ]
            sessions.quarantine(db, session_id, explanation, ends)

        await self._writer.run(operation)

    @override
    async def accept_turn(self, new: NewTurn, lease_request: LeaseRequest, now: float) -> AcceptedTurn:
        row = _new_row(new)
        found = await self._writer.run(lambda db: turns.accept(db, row, lease_request, now))
        return await self._decoded(new.session_id, lambda: decoder.accepted(found, new))

    @override
    async def find_turn(
        self, tenant: str, session_id: str, *, number: int = 0, request_id: str = ""
    ) -> FoundTurn:
        row, end, is_running = await self._reader.run(
            lambda db: turns.find(db, tenant, session_id, number, request_id)
        )
        if end is not None:
            return await self._decoded(session_id, lambda: _found(decoder.finished(end)))
        inbox = await self._decoded(session_id, lambda: decoder.inbox(session_id, row))
        turn = statuses.running_turn(inbox.turn) if is_running else inbox.turn
        return FoundTurn(turn, None, inbox, running=is_running)

    @override
    async def get_explanation(self, tenant: str, session_id: str, number: int) -> bytes:
        return await self._reader.run(lambda db: turns.get_explanation(db, tenant, session_id, number))

    @override
    async def list_turns(
        self, tenant: str, session_id: str, size: int, after: int | None, *, newest_first: bool = False
    ) -> Page[Turn]:
        query = turns.NEWEST_FIRST if newest_first else turns.OLDEST_FIRST
        rows, running = await self._reader.run(
            lambda db: turns.list_turns(db, tenant, session_id, query=query, size=size + 1, after=after)
        )
        listed = tuple(_listed(session_id, row, running) for row in rows[:size])
        return Page(listed, rows[size - 1].number if len(rows) > size else None)

    @override
    async def recent_transcripts(self, session_id: str, limit: int) -> tuple[tuple[Message, ...], ...]:
        blobs = await self._reader.run(lambda db: turns.recent_transcripts(db, session_id, limit))
        return await self._decoded(
            session_id,
            lambda: recent_whole_turns((unpack(blob, Message) for blob in blobs), limit),
        )

    @override
    async def request_stop(self, session_id: str, number: int, mode: StopMode) -> None:
        await self._writer.run(lambda db: turns.request_stop(db, session_id, number, mode))

    @override
    async def stop_requests(self) -> tuple[tuple[str, int, StopMode], ...]:
        rows = await self._reader.run(turns.stop_requests)
        return tuple((session_id, number, StopMode(stop)) for session_id, number, stop in rows)

    @override
    async def finish_waiting(self, result: TurnResult) -> bool:
        turn = result.turn
        end = FinishedRow(turn.SerializeToString(), result.session.SerializeToString(), pack(result.events))
        return await self._writer.run(lambda db: turns.finish_waiting(db, turn.session_id, turn.number, end))

    @override
    async def acquire_lease(self, pending: PendingSession, lease_request: LeaseRequest) -> TurnTask | None:
        row = await self._writer.run(lambda db: sessions.acquire_lease(db, pending, lease_request))
        if row is None:
            return None
        return await self._decoded(pending.session_id, lambda: decoder.task(pending.session_id, row))

    @override
    async def renew_leases(self, leases: Sequence[Lease], expires: float) -> tuple[Lease, ...]:
        return tuple(await self._writer.run(lambda db: sessions.renew_leases(db, leases, expires)))

    @override
    async def release_leases(self, leases: Sequence[Lease]) -> None:
        await self._writer.run(lambda db: sessions.release_leases(db, leases))

    @override
    async def pending_sessions(self) -> tuple[PendingSession, ...]:
        return tuple(await self._reader.run(sessions.pending_sessions))

    @override
    async def commit(self, commit: Commit) -> InboxTurn | None:
        row = _commit_row(commit)
        next_turn = await self._writer.run(lambda db: turns.commit(db, row))
        if next_turn is None:
            return None
        session_id = commit.lease.session_id
        return await self._decoded(session_id, lambda: decoder.inbox(session_id, next_turn))

    @override
    async def write_journal(self, lease: Lease, entries: Sequence[JournalEntry]) -> None:
        await self._writer.run(lambda db: journal.write_journal(db, lease, entries))

    @override
    async def read_journal(self, session_id: str) -> tuple[JournalEntry, ...]:
        return tuple(await self._reader.run(lambda db: journal.read_journal(db, session_id)))

    @override
    async def due_timers(self, now: float, limit: int) -> tuple[tuple[DueTimer, ...], float | None]:
        rows, next_due = await self._reader.run(lambda db: timers.due_timers(db, now, limit))
        return tuple(DueTimer(*row) for row in rows), next_due

    @override
    async def fire_timer(
        self, timer: DueTimer, new: NewTurn, lease_request: LeaseRequest, now: float
    ) -> AcceptedTurn | None:
        row = _new_row(new)
        found = await self._writer.run(lambda db: turns.fire(db, timer, row, lease_request, now))
        if found is None:
            return None
        return await self._decoded(new.session_id, lambda: decoder.accepted(found, new))

    async def _decoded(self, session_id: str, decode: Callable[[], T]) -> T:
        """Returns what `decode` returns; quarantines the session if a row of it cannot be decoded."""
        try:
            return decode()
        except DecodeError as error:
            await self.quarantine(session_id, f"{_UNREADABLE}: {error}", self._clock())
            raise SessionQuarantined(session_id, _UNREADABLE) from error


def _opening(opening: TurnResult | NewTurn | None) -> OpeningRow | None:
    if opening is None:
        return None
    if isinstance(opening, NewTurn):
        return OpeningRow(opening.digest, opening.turn.SerializeToString())
    return OpeningRow(
        b"",
        opening.turn.SerializeToString(),
        len(opening.turn.tool_calls),
        opening.session.SerializeToString(),
        pack(opening.transcript),
        pack(opening.events),
        opening.explanation,
    )


def _new_row(new: NewTurn) -> NewTurnRow:
    return NewTurnRow(
        new.tenant,
        new.session_id,
        new.turn.request_id,
        new.digest,
        new.turn.SerializeToString(),
        new.concurrency,
        new.cancel_on_disconnect,
        new.limit,
    )


def _commit_row(commit: Commit) -> CommitRow:
    result = commit.result
    return CommitRow(
        commit.lease,
        commit.revision,
        result.turn.number,
        result.session.status,
        len(result.turn.tool_calls),
        result.session.SerializeToString(),
        commit.snapshot,
        result.turn.SerializeToString(),
        pack(result.events),
        pack(result.transcript),
        result.explanation,
        tuple(commit.set_timers.items()),
        commit.clear_timers,
        commit.clear_journal,
        commit.lease_expires,
    )


def _found(result: TurnResult) -> FoundTurn:
    return FoundTurn(result.turn, result, None)


def _listed(session_id: str, row: TurnRow, running: int) -> Turn:
    turn = decoder.turn(session_id, row)
    return statuses.running_turn(turn) if not row.finished and row.number == running else turn
