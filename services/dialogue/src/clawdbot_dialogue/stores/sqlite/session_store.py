"""Sessions in one SQLite file, which the processes of one machine may share: the default store.

Serialising and decoding happen here, on the loop's side; the SQL is in the sqlite_… modules, in two threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from google.protobuf.message import DecodeError

from clawdbot_dialogue.core.errors import SessionQuarantined, StoreUnavailable
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
from clawdbot_dialogue.stores import record_helpers
from clawdbot_dialogue.stores.framing import pack, unpack
from clawdbot_dialogue.stores.sqlite import decoder, flows, schema, sessions
from clawdbot_dialogue.stores.sqlite import timers as sqlite_timers
from clawdbot_dialogue.stores.sqlite import turns as sqlite_turns
from clawdbot_dialogue.stores.sqlite.rows import CommitRow, FinishedRow, NewTurnRow, TurnRow
from clawdbot_dialogue.stores.sqlite.sessions import NewSessionRow, OpeningRow
from clawdbot_dialogue.stores.sqlite.threads import SqliteThread

T = TypeVar("T")
_UNREADABLE = "its row in the store cannot be decoded"


class SqliteSessionStore:
    """A SessionStore in a SQLite file in WAL mode. Open and close it in the loop that uses it."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._writer: SqliteThread | None = None
        self._reader: SqliteThread | None = None

    @property
    def description(self) -> str:
        """For the banner."""
        return f"SQLite, {self._path}"

    async def open(self) -> None:
        """See SessionStore."""
        await asyncio.to_thread(schema.prepare, self._path)
        self._writer = SqliteThread(self._path, writes=True)
        self._reader = SqliteThread(self._path, writes=False)

    async def close(self) -> None:
        """See SessionStore."""
        threads = [thread for thread in (self._writer, self._reader) if thread]
        self._writer = self._reader = None
        for thread in threads:
            await thread.close()

    async def check(self) -> None:
        """See SessionStore."""
        await self._read(lambda db: db.execute("SELECT 1").fetchone())

    async def deploy_flow(self, name: str, version: int, source: str, now: float) -> DeployedFlow:
        """See SessionStore."""
        return await self._write(lambda db: flows.deploy(db, name, version, source, now))

    async def deployed_flows(self, after: int) -> tuple[DeployedFlow, ...]:
        """See SessionStore."""
        return await self._read(lambda db: flows.deployed(db, after))

    async def create_session(self, new: NewSession, bid: LeaseRequest) -> CreatedSession:
        """See SessionStore."""
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
        )
        opening = _opening(new.opening)
        known, work = await self._write(lambda db: sessions.create(db, row, opening, bid))
        if known is not None:
            return CreatedSession(decoder.session(known), existed=True)
        return CreatedSession(view, task=decoder.task(view.id, work) if work else None)

    async def get_session(self, tenant: str, session_id: str) -> Session:
        """See SessionStore."""
        return decoder.session(await self._read(lambda db: sessions.get(db, tenant, session_id)))

    async def list_sessions(
        self, tenant: str, wanted: SessionFilter, size: int, before: int | None
    ) -> Page[Session]:
        """See SessionStore."""
        rows = await self._read(lambda db: sessions.list_sessions(db, tenant, wanted, size + 1, before))
        shown = tuple(decoder.session(row) for row in rows[:size])
        return Page(shown, rows[size - 1].seq if len(rows) > size else None)

    async def delete_session(
        self, tenant: str, session_id: str, request_id: str, now: float
    ) -> DeletionCounts:
        """See SessionStore."""
        return await self._write(lambda db: sessions.delete(db, tenant, session_id, request_id, now))

    async def quarantine(self, session_id: str, explanation: str, now: float) -> None:
        """See SessionStore."""

        def operation(db: sqlite3.Connection) -> None:
            rows = sessions.unfinished(db, session_id)
            ends = [
                (
                    row.key,
                    record_helpers.quarantined_turn(decoder.turn(session_id, row), now).SerializeToString(),
                    b"",
                )
                for row in rows
            ]
            sessions.quarantine(db, session_id, explanation, ends)

        await self._write(operation)

    async def accept_turn(self, new: NewTurn, bid: LeaseRequest, now: float) -> AcceptedTurn:
        """See SessionStore."""
        row = _new_row(new)
        found = await self._write(lambda db: sqlite_turns.accept(db, row, bid, now))
        return await self._readable(new.session_id, lambda: decoder.accepted(found, new))

    async def find_turn(
        self, tenant: str, session_id: str, *, number: int = 0, request_id: str = ""
    ) -> FoundTurn:
        """See SessionStore."""
        row, end, at_work = await self._read(
            lambda db: sqlite_turns.find(db, tenant, session_id, number, request_id)
        )
        if end is not None:
            return await self._readable(session_id, lambda: _found(decoder.finished(end)))
        inbox = await self._readable(session_id, lambda: decoder.inbox(session_id, row))
        turn = record_helpers.running_turn(inbox.turn) if at_work else inbox.turn
        return FoundTurn(turn, None, inbox, running=at_work)

    async def get_explanation(self, tenant: str, session_id: str, number: int) -> bytes:
        """See SessionStore."""
        return await self._read(lambda db: sqlite_turns.get_explanation(db, tenant, session_id, number))

    async def list_turns(
        self, tenant: str, session_id: str, size: int, after: int | None, *, newest_first: bool = False
    ) -> Page[Turn]:
        """See SessionStore."""
        query = sqlite_turns.NEWEST_FIRST if newest_first else sqlite_turns.OLDEST_FIRST
        rows, at_work = await self._read(
            lambda db: sqlite_turns.list_turns(
                db, tenant, session_id, query=query, size=size + 1, after=after
            )
        )
        turns = (_shown(session_id, row, at_work) for row in rows[:size])
        return Page(tuple(turns), rows[size - 1].number if len(rows) > size else None)

    async def recent_messages(self, session_id: str, limit: int) -> tuple[Message, ...]:
        """See SessionStore."""
        blobs = await self._read(lambda db: sqlite_turns.recent_transcripts(db, session_id, limit))
        return await self._readable(
            session_id,
            lambda: record_helpers.recent_whole_turns((unpack(blob, Message) for blob in blobs), limit),
        )

    async def request_stop(self, session_id: str, number: int, stop: StopMode) -> None:
        """See SessionStore."""
        await self._write(lambda db: sqlite_turns.request_stop(db, session_id, number, stop))

    async def stop_requests(self) -> tuple[tuple[str, int, StopMode], ...]:
        """See SessionStore."""
        rows = await self._read(sqlite_turns.stop_requests)
        return tuple((session_id, number, StopMode(stop)) for session_id, number, stop in rows)

    async def finish_waiting(self, finished: TurnResult) -> bool:
        """See SessionStore."""
        turn = finished.turn
        end = FinishedRow(
            turn.SerializeToString(), finished.session.SerializeToString(), pack(finished.events)
        )
        return await self._write(
            lambda db: sqlite_turns.finish_waiting(db, turn.session_id, turn.number, end)
        )

    async def acquire_lease(self, seen: PendingSession, bid: LeaseRequest) -> TurnTask | None:
        """See SessionStore."""
        row = await self._write(lambda db: sessions.acquire_lease(db, seen, bid))
        if row is None:
            return None
        return await self._readable(seen.session_id, lambda: decoder.task(seen.session_id, row))

    async def renew_leases(self, claims: Sequence[Lease], until: float) -> tuple[Lease, ...]:
        """See SessionStore."""
        return tuple(await self._write(lambda db: sessions.renew_leases(db, claims, until)))

    async def release_leases(self, claims: Sequence[Lease]) -> None:
        """See SessionStore."""
        await self._write(lambda db: sessions.release_leases(db, claims))

    async def pending_sessions(self) -> tuple[PendingSession, ...]:
        """See SessionStore."""
        return tuple(await self._read(sessions.pending_sessions))

    async def commit(self, commit: Commit) -> InboxTurn | None:
        """See SessionStore."""
        row = _commit_row(commit)
        following = await self._write(lambda db: sqlite_turns.commit(db, row))
        if following is None:
            return None
        session_id = commit.lease.session_id
        return await self._readable(session_id, lambda: decoder.inbox(session_id, following))

    async def write_journal(self, claim: Lease, entries: Sequence[JournalEntry]) -> None:
        """See SessionStore."""
        await self._write(lambda db: sqlite_timers.write_journal(db, claim, entries))

    async def read_journal(self, session_id: str) -> tuple[JournalEntry, ...]:
        """See SessionStore."""
        return tuple(await self._read(lambda db: sqlite_timers.read_journal(db, session_id)))

    async def due_timers(self, now: float, limit: int) -> tuple[tuple[DueTimer, ...], float | None]:
        """See SessionStore."""
        rows, after = await self._read(lambda db: sqlite_timers.due_timers(db, now, limit))
        return tuple(DueTimer(*row) for row in rows), after

    async def fire_timer(
        self, timer: DueTimer, new: NewTurn, bid: LeaseRequest, now: float
    ) -> AcceptedTurn | None:
        """See SessionStore."""
        row = _new_row(new)
        found = await self._write(lambda db: sqlite_turns.fire(db, timer, row, bid, now))
        if found is None:
            return None
        return await self._readable(new.session_id, lambda: decoder.accepted(found, new))

    async def _write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        if self._writer is None:
            raise StoreUnavailable("The session store is closed.")
        return await self._writer.run(operation)

    async def _read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        if self._reader is None:
            raise StoreUnavailable("The session store is closed.")
        return await self._reader.run(operation)

    async def _readable(self, session_id: str, decode: Callable[[], T]) -> T:
        """What decodes; a session with a row that does not is quarantined, so that it harms no other."""
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
    finished = commit.result
    return CommitRow(
        commit.lease,
        commit.revision,
        finished.turn.number,
        finished.session.status,
        len(finished.turn.tool_calls),
        finished.session.SerializeToString(),
        commit.snapshot,
        finished.turn.SerializeToString(),
        pack(finished.events),
        pack(finished.transcript),
        finished.explanation,
        tuple(commit.set_timers.items()),
        commit.clear_timers,
        commit.clear_journal,
        commit.lease_expires,
    )


def _found(finished: TurnResult) -> FoundTurn:
    return FoundTurn(finished.turn, finished, None)


def _shown(session_id: str, row: TurnRow, at_work: int) -> Turn:
    turn = decoder.turn(session_id, row)
    return record_helpers.running_turn(turn) if not row.finished and row.number == at_work else turn
