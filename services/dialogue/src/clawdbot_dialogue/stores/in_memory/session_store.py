"""A session store in the memory of this process, for tests and first steps. It keeps nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, SESSION_STATUS_QUARANTINED, Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from typing_extensions import override

from clawdbot_dialogue.core.errors import (
    FlowExists,
    InboxFull,
    LeaseLost,
    RequestIdReused,
    SessionBusy,
    SessionEnded,
    SessionNotFound,
    SessionQuarantined,
    TurnNotFound,
)
from clawdbot_dialogue.core.sessions.records import (
    STOP_MODES,
    AcceptedTurn,
    Commit,
    ConcurrencyPolicy,
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
from clawdbot_dialogue.core.sessions.store import DELETION_RETRY_SECONDS, FlowsOutdated, SessionStore
from clawdbot_dialogue.stores import statuses
from clawdbot_dialogue.stores.in_memory.rows import SessionRow
from clawdbot_dialogue.stores.transcript_window import recent_whole_turns


class InMemorySessionStore(SessionStore):
    """A session store that consists of dictionaries."""

    def __init__(self) -> None:
        self._rows: dict[str, SessionRow] = {}
        self._created: dict[tuple[str, str], str] = {}
        self._deleted: dict[tuple[str, str, str], tuple[DeletionCounts, float]] = {}
        self._position = 0
        self._flows: dict[tuple[str, int], DeployedFlow] = {}

    @property
    @override
    def description(self) -> str:
        return "memory (nothing is kept)"

    @override
    async def open(self) -> None:
        pass

    @override
    async def close(self) -> None:
        pass

    @override
    async def check(self) -> None:
        pass

    @override
    async def deploy_flow(self, name: str, version: int, source: str, now: float) -> DeployedFlow:
        new = DeployedFlow(len(self._flows) + 1, name, version, source, now)
        kept = self._flows.setdefault((name, version), new)
        if kept.source != source:
            raise FlowExists(name, version)
        return kept

    @override
    async def deployed_flows(self, after: int) -> tuple[DeployedFlow, ...]:
        return tuple(flow for flow in self._flows.values() if flow.number > after)

    @override
    async def create_session(self, new: NewSession, lease_request: LeaseRequest) -> CreatedSession:
        tenant = new.session.tenant
        known = self._created.get((tenant, new.request_id)) if new.request_id else None
        if known is not None:
            row = self._rows[known]
            if row.digest != new.digest:
                raise RequestIdReused(new.request_id)
            return CreatedSession(row.session, existed=True)
        if new.newest_flow is not None and len(self._flows) > new.newest_flow:
            raise FlowsOutdated
        self._position += 1
        row = SessionRow(self._position, new.session, new.snapshot, new.request_id, new.digest)
        row.timers.update(new.timers)
        self._rows[new.session.id] = row
        if new.request_id:
            self._created[tenant, new.request_id] = new.session.id
        if isinstance(new.opening, NewTurn):
            row.add(new.opening)
            return CreatedSession(new.session, task=row.grant_lease(lease_request, len(self._flows)))
        if new.opening is not None:
            opening = row.add(NewTurn(tenant, new.session.id, new.opening.turn, digest=b""))
            row.finish(opening, new.opening)
        return CreatedSession(new.session)

    @override
    async def get_session(self, tenant: str, session_id: str) -> Session:
        return self._row(tenant, session_id).session

    @override
    async def list_sessions(
        self, tenant: str, session_filter: SessionFilter, size: int, before: int | None
    ) -> Page[Session]:
        found = [
            row
            for row in reversed(self._rows.values())
            if row.session.tenant == tenant
            and (before is None or row.position < before)
            and session_filter.user in ("", row.session.user)
            and session_filter.flow in ("", row.session.flow)
            and session_filter.status in (0, row.session.status)
        ][: size + 1]
        more = found[size - 1].position if len(found) > size else None
        return Page(tuple(row.session for row in found[:size]), more)

    @override
    async def existing_sessions(self, session_ids: Collection[str]) -> frozenset[str]:
        return frozenset(self._rows.keys() & {*session_ids})

    @override
    async def delete_session(
        self, tenant: str, session_id: str, request_id: str, now: float
    ) -> DeletionCounts:
        key = (tenant, session_id, request_id)
        self._deleted = {
            each: known for each, known in self._deleted.items() if known[1] > now - DELETION_RETRY_SECONDS
        }
        if request_id and key in self._deleted:
            return self._deleted[key][0]
        row = self._row(tenant, session_id)
        del self._rows[session_id]
        self._created.pop((tenant, row.request_id), None)
        counts = DeletionCounts(len(row.turns), row.tool_calls)
        if request_id:
            self._deleted[key] = (counts, now)
        return counts

    @override
    async def quarantine(self, session_id: str, explanation: str, now: float) -> None:
        row = self._rows.get(session_id)
        if row is None:
            return
        row.session = statuses.quarantined_session(row.session)
        row.token += 1
        row.end_lease()
        row.timers.clear()
        for turn in list(row.unfinished.values()):
            row.finish(turn, TurnResult(statuses.quarantined_turn(turn.turn, now), row.session, ()))

    @override
    async def accept_turn(self, new: NewTurn, lease_request: LeaseRequest, now: float) -> AcceptedTurn:
        row = self._row(new.tenant, new.session_id)
        known = row.requests.get(new.turn.request_id)
        if known is not None:
            if known.digest != new.digest:
                raise RequestIdReused(new.turn.request_id)
            inbox = None if known.result else known.inbox
            return AcceptedTurn(known.turn.number, joined=True, result=known.result, inbox=inbox)
        self._admit(row, new)
        stopped = next(iter(row.unfinished.values()), None) if new.concurrency in STOP_MODES else None
        if stopped is not None:
            stopped.stop_mode = max(stopped.stop_mode, STOP_MODES[new.concurrency])
        turn = row.add(new)
        free = not row.owner or (row.expires <= now and row.owner != lease_request.owner)
        return AcceptedTurn(
            turn.turn.number,
            task=row.grant_lease(lease_request, len(self._flows)) if free else None,
            inbox=turn.inbox,
            stopped_turn=stopped.turn.number if stopped else None,
        )

    def _admit(self, row: SessionRow, new: NewTurn) -> None:
        if row.session.status == SESSION_STATUS_QUARANTINED:
            raise SessionQuarantined(new.session_id)
        if row.session.status == SESSION_STATUS_ENDED:
            raise SessionEnded(new.session_id)
        if row.unfinished and new.concurrency is ConcurrencyPolicy.REJECT:
            raise SessionBusy(new.session_id)
        if new.limit is not None and len(row.unfinished) >= new.limit:
            raise InboxFull(new.session_id, new.limit)

    @override
    async def find_turn(
        self, tenant: str, session_id: str, *, number: int = 0, request_id: str = ""
    ) -> FoundTurn:
        row = self._row(tenant, session_id)
        if request_id:
            found = row.requests.get(request_id)
        else:
            found = row.turns[number - 1] if 0 < number <= len(row.turns) else None
        if found is None:
            raise TurnNotFound(session_id, request_id or str(number))
        return FoundTurn(
            row.as_listed(found),
            found.result,
            None if found.result else found.inbox,
            running=found.turn.number == row.running,
        )

    @override
    async def get_explanation(self, tenant: str, session_id: str, number: int) -> bytes:
        row = self._row(tenant, session_id)
        found = row.turns[number - 1] if 0 < number <= len(row.turns) else None
        if found is None or found.result is None:
            raise TurnNotFound(session_id, str(number))
        return found.result.explanation

    @override
    async def list_turns(
        self, tenant: str, session_id: str, size: int, after: int | None, *, newest_first: bool = False
    ) -> Page[Turn]:
        row = self._row(tenant, session_id)
        if newest_first:
            rest = row.turns[: len(row.turns) if after is None else after - 1][::-1]
        else:
            rest = row.turns[after or 0 :]
        more = rest[size - 1].turn.number if len(rest) > size else None
        return Page(tuple(row.as_listed(turn) for turn in rest[:size]), more)

    @override
    async def recent_transcripts(self, session_id: str, limit: int) -> tuple[tuple[Message, ...], ...]:
        row = self._rows.get(session_id)
        turns = reversed(row.turns) if row else ()
        return recent_whole_turns((turn.result.transcript for turn in turns if turn.result), limit)

    @override
    async def request_stop(self, session_id: str, number: int, mode: StopMode) -> None:
        row = self._rows.get(session_id)
        turn = row.unfinished.get(number) if row else None
        if turn is not None:
            turn.stop_mode = max(turn.stop_mode, mode)

    @override
    async def stop_requests(self) -> tuple[tuple[str, int, StopMode], ...]:
        return tuple(
            (session_id, number, turn.stop_mode)
            for session_id, row in self._rows.items()
            for number, turn in row.unfinished.items()
            if turn.stop_mode
        )

    @override
    async def finish_waiting(self, result: TurnResult) -> bool:
        row = self._rows.get(result.turn.session_id)
        turn = row.unfinished.get(result.turn.number) if row else None
        if row is None or turn is None or row.running == result.turn.number:
            return False
        row.finish(turn, result)
        return True

    @override
    async def acquire_lease(self, pending: PendingSession, lease_request: LeaseRequest) -> TurnTask | None:
        row = self._rows.get(pending.session_id)
        if row is None or not row.unfinished or (row.token, row.owner) != (pending.token, pending.owner):
            return None
        return row.grant_lease(lease_request, len(self._flows))

    @override
    async def renew_leases(self, leases: Sequence[Lease], expires: float) -> tuple[Lease, ...]:
        lost = []
        for lease in leases:
            row = self._leased(lease)
            if row is None:
                lost.append(lease)
            else:
                row.expires = expires
        return tuple(lost)

    @override
    async def release_leases(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            row = self._leased(lease)
            if row is not None:
                row.end_lease()

    @override
    async def pending_sessions(self) -> tuple[PendingSession, ...]:
        return tuple(
            PendingSession(session_id, row.token, row.owner, row.expires)
            for session_id, row in self._rows.items()
            if row.unfinished
        )

    @override
    async def commit(self, commit: Commit) -> InboxTurn | None:
        row = self._leased(commit.lease)
        number = commit.result.turn.number
        turn = row.unfinished.get(number) if row else None
        if row is None or turn is None or row.session.revision != commit.revision:
            raise LeaseLost(commit.lease.session_id)
        row.finish(turn, commit.result)
        row.session = commit.result.session
        if commit.snapshot is not None:
            row.snapshot = commit.snapshot
        for timer in tuple(row.timers) if commit.clear_timers == "all" else commit.clear_timers:
            row.timers.pop(timer, None)
        row.timers.update(commit.set_timers)
        for key in list(row.journal):
            if key[0] == number and (commit.clear_journal == "all" or key[1] in commit.clear_journal):
                del row.journal[key]
        if not row.unfinished:
            row.end_lease()
            return None
        row.expires = max(row.expires, commit.lease_expires)
        return row.start_attempt(next(iter(row.unfinished.values())))

    @override
    async def write_journal(self, lease: Lease, entries: Sequence[JournalEntry]) -> None:
        row = self._leased(lease)
        if row is None:
            raise LeaseLost(lease.session_id)
        row.journal.update(((entry.number, entry.key), entry) for entry in entries)

    @override
    async def read_journal(self, session_id: str) -> tuple[JournalEntry, ...]:
        row = self._rows.get(session_id)
        return tuple(sorted(row.journal.values(), key=lambda entry: entry.number)) if row else ()

    @override
    async def due_timers(self, now: float, limit: int) -> tuple[tuple[DueTimer, ...], float | None]:
        timers = sorted(
            (
                DueTimer(session_id, row.session.tenant, timer, due)
                for session_id, row in self._rows.items()
                for timer, due in row.timers.items()
            ),
            key=lambda timer: timer.due,
        )
        due = tuple(timer for timer in timers if timer.due <= now)[:limit]
        return due, timers[len(due)].due if len(timers) > len(due) else None

    @override
    async def fire_timer(
        self, timer: DueTimer, new: NewTurn, lease_request: LeaseRequest, now: float
    ) -> AcceptedTurn | None:
        row = self._rows.get(timer.session_id)
        if row is None or row.timers.get(timer.timer_id) != timer.due:
            return None
        accepted = await self.accept_turn(new, lease_request, now)
        del row.timers[timer.timer_id]
        return accepted

    def _row(self, tenant: str, session_id: str) -> SessionRow:
        row = self._rows.get(session_id)
        if row is None or row.session.tenant != tenant:
            raise SessionNotFound(session_id)
        return row

    def _leased(self, lease: Lease) -> SessionRow | None:
        """The session, if the lease on it is not lost."""
        row = self._rows.get(lease.session_id)
        return row if row is not None and row.token == lease.token else None
