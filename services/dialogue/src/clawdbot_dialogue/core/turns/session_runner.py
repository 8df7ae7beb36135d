"""Runs the turns of a leased session, one after the other, until none waits or the lease is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import structlog
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED
from clawdbot.dialogue.v1.turn_pb2 import (
    TURN_STATUS_CANCELLED,
    TURN_STATUS_DONE,
    TURN_STATUS_FAILED,
    TurnError,
)
from clawdbot_servicekit import deadline
from clawdbot_servicekit.caller import Caller, enter_caller
from msgspec.structs import replace

from clawdbot_dialogue.core.errors import (
    DialogueError,
    LeaseLost,
    SessionQuarantined,
    StoreUnavailable,
    TurnMoved,
)
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot, SnapshotInvalid
from clawdbot_dialogue.core.sessions.records import Commit, StopMode, TurnTask
from clawdbot_dialogue.core.sessions.view import encode_snapshot, session_from_snapshot, touch
from clawdbot_dialogue.core.turns.active_turn import ActiveTurn
from clawdbot_dialogue.core.turns.history import History
from clawdbot_dialogue.core.turns.inputs import to_machine_event
from clawdbot_dialogue.core.turns.lease_table import LeasedSession, LeaseTable
from clawdbot_dialogue.core.turns.ports import TurnDependencies
from clawdbot_dialogue.core.turns.session_memory import SessionMemories, SessionMemory
from clawdbot_dialogue.core.turns.turn_attempt import TurnAttempt
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _StartedTurn:
    """A turn that this process has started."""

    task: TurnTask
    session: LeasedSession
    memory: SessionMemory
    active_turn: ActiveTurn
    record: TurnRecord
    attempt: TurnAttempt
    start_time: float


class SessionRunner:
    """Runs turns. There is one in a process; it runs each leased session in a task of its own."""

    def __init__(
        self,
        dependencies: TurnDependencies,
        flows: FlowLookup,
        leases: LeaseTable,
        clock: Callable[[], float],
        on_commit: Callable[[Commit, float], None],
        *,
        memories: SessionMemories,
        load_flows: Callable[[int], Awaitable[None]],
    ) -> None:
        self._dependencies = dependencies
        self._flows = flows
        self._leases = leases
        self._clock = clock
        self._on_commit = on_commit
        """Called with each commit and the seconds that its turn took."""
        self._load_flows = load_flows
        """Loads the flows up to a number that other processes deployed: a session may be pinned to one."""
        self._memories = memories

    async def run(self, task: TurnTask, session: LeasedSession) -> None:
        """Runs the task's turn and those that wait behind it; then the session leaves the lease table."""
        enter_caller(Caller(tenant=task.session.tenant))
        session_id = task.lease.session_id
        try:
            await self._run_turns(task, session)
        except LeaseLost:
            _log.warning("lease_lost", session=session_id)
            session.fail(TurnMoved(session_id))
        except DialogueError as error:
            _log.warning("turn_abandoned", session=session_id, error=type(error).__name__)
            session.fail(error)
        except asyncio.CancelledError:
            session.fail(TurnMoved(session_id))
            raise
        except Exception:  # noqa: BLE001 - logged
            # A defect of ours ends one session's turns and no others; the maintenance loop recovers them.
            _log.exception("session_runner_failed", session=session_id)
            session.fail(TurnMoved(session_id))
        finally:
            self._leases.remove(session)

    async def _run_turns(self, task: TurnTask, session: LeasedSession) -> None:
        memory = self._memories.recall(task)
        if memory is None:
            history = History(task.session.id, self._dependencies.limits)
            memory = SessionMemory(task.session, task.snapshot, history)
        try:
            snapshot = await self._load_snapshot(task, memory)
        except (FlowNotFound, SnapshotInvalid) as error:
            # Kept as it is: once the flow is back, or the newer program, the session goes on.
            await self._refuse_turns(task, session, memory, flow_version_gone(error))
            return
        next_task: TurnTask | None = task
        while next_task is not None:
            turn = self._start_turn(next_task, session, memory)
            refusal = self._reason_not_to_run(next_task)
            if refusal is not None or turn.active_turn.cancel_scope.cancel_called:
                next_task = await self._refuse_turn(turn, refusal)
            else:
                after, failure = await self._attempt_turn(turn, snapshot)
                next_task = await self._end_turn(turn, after, failure)
                snapshot = after or snapshot
        memory.snapshot = snapshot
        self._memories.keep(task.lease.token, memory)

    async def _refuse_turns(
        self, task: TurnTask, session: LeasedSession, memory: SessionMemory, error: TurnError
    ) -> None:
        """Fails the task's turn and those that wait behind it: the session cannot go on."""
        next_task: TurnTask | None = task
        while next_task is not None:
            next_task = await self._refuse_turn(self._start_turn(next_task, session, memory), error)

    def _start_turn(self, task: TurnTask, session: LeasedSession, memory: SessionMemory) -> _StartedTurn:
        start_time = self._clock()
        turn = task.inbox_turn.turn
        active_turn = session.start(turn.number)
        scope = active_turn.cancel_scope
        scope.stop_mode = max(scope.stop_mode, task.inbox_turn.stop_mode)
        record = TurnRecord(turn, active_turn.emit)
        attempt = TurnAttempt(self._dependencies, self._flows, task, record, memory)
        return _StartedTurn(task, session, memory, active_turn, record, attempt, start_time)

    async def _refuse_turn(self, turn: _StartedTurn, error: TurnError | None) -> TurnTask | None:
        """Ends a turn without running it, because of an error or because it was stopped; returns the next."""
        await turn.attempt.replay_journal()
        return await self._end_turn(turn, None, error)

    async def _end_turn(
        self, turn: _StartedTurn, after: Snapshot | None, error: TurnError | None
    ) -> TurnTask | None:
        """Commits a turn, with the snapshot after it unless it failed or was stopped; returns the next."""
        session_id = turn.task.lease.session_id
        if turn.active_turn.cancel_scope.lease_lost:
            raise LeaseLost(session_id)
        commit = self._failure(turn, error) if after is None else self._success(turn, after)
        next_turn = await self._dependencies.store.commit(commit)
        memory = turn.memory
        memory.session = commit.result.session
        memory.encoded_snapshot = commit.snapshot or memory.encoded_snapshot
        memory.history.add(commit.result.transcript)
        if after is None and turn.attempt.journal.has_entries:
            memory.once_calls = None
        turn.session.finish(commit.result)
        self._on_commit(commit, self._clock() - turn.start_time)
        turn.session.skip_to(None if next_turn is None else next_turn.turn.number)
        if next_turn is None:
            return None
        return replace(turn.task, session=commit.result.session, inbox_turn=next_turn)

    async def _load_snapshot(self, task: TurnTask, memory: SessionMemory) -> Snapshot:
        """The snapshot of the task's session, once the flows are loaded that other processes deployed.

        Raises:
            SessionQuarantined: the snapshot cannot be read.
            FlowNotFound, SnapshotInvalid: its flow, or the state in it, is not installed.
        """
        await self._load_flows(task.newest_flow)
        if memory.snapshot is not None:
            return memory.snapshot
        try:
            stored = msgspec.json.decode(task.snapshot)
        except ValueError as error:
            explanation = f"its snapshot is not JSON: {error}"
            await self._dependencies.store.quarantine(task.lease.session_id, explanation, self._clock())
            raise SessionQuarantined(task.lease.session_id, explanation) from error
        return Snapshot.from_json(stored, self._flows)

    def _reason_not_to_run(self, task: TurnTask) -> TurnError | None:
        """The error of a turn that must not be run, though its session can go on."""
        if task.session.status == SESSION_STATUS_ENDED:
            return TurnError(reason="SESSION_ENDED", message="The session ended before this turn started.")
        max_attempts = self._dependencies.limits.max_attempts
        if task.inbox_turn.attempts > max_attempts:
            return TurnError(reason="TURN_GIVEN_UP", message=f"Gave up after {max_attempts} attempts.")
        return None

    async def _attempt_turn(
        self, turn: _StartedTurn, snapshot: Snapshot
    ) -> tuple[Snapshot | None, TurnError | None]:
        """The snapshot after the turn, or why there is none; neither if the turn was stopped."""
        limits = self._dependencies.limits
        deadline.enter_deadline(limits.turn_timeout)
        wire_turn = turn.record.turn
        after = None
        try:
            with turn.active_turn.cancel_scope:
                after = await turn.attempt.run(snapshot, to_machine_event(wire_turn, limits.time_zone))
        except TimeoutError:
            return None, TurnError(
                reason="TURN_TIMEOUT", message=f"The turn took more than {limits.turn_timeout:g} seconds."
            )
        except (FlowNotFound, SnapshotInvalid) as error:
            return None, flow_version_gone(error)
        except (LeaseLost, StoreUnavailable, SessionQuarantined):
            raise
        except Exception:  # noqa: BLE001 - logged
            # A defect of ours must not end the session: the turn fails, the next one may succeed.
            _log.exception("turn_crashed", session=wire_turn.session_id, turn=wire_turn.id)
            return None, TurnError(
                reason="INTERNAL", message=f"Internal error; the server's log has it under {wire_turn.id}."
            )
        if turn.attempt.error is not None:
            return None, turn.attempt.error
        return after, None

    def _success(self, turn: _StartedTurn, after: Snapshot) -> Commit:
        task, record = turn.task, turn.record
        now = self._clock()
        session = session_from_snapshot(task.session, after, now)
        ended = session.status == SESSION_STATUS_ENDED
        return Commit(
            lease=task.lease,
            revision=task.session.revision,
            result=record.end(TURN_STATUS_DONE, session, now),
            snapshot=encode_snapshot(after),
            set_timers={} if ended else record.due_timers(now),
            clear_timers="all" if ended else record.clear_timers,
            clear_journal="all" if turn.attempt.journal.has_entries else (),
            lease_expires=self._leases.new_expiry(),
        )

    def _failure(self, turn: _StartedTurn, error: TurnError | None) -> Commit:
        """The commit of a turn that failed or was stopped: the session is as before, what was said stays."""
        task, record = turn.task, turn.record
        stop_mode = turn.active_turn.cancel_scope.stop_mode
        now = self._clock()
        session = touch(task.session, now)
        if stop_mode:
            result = record.end(TURN_STATUS_CANCELLED, session, now)
        else:
            result = record.end(TURN_STATUS_FAILED, session, now, error)
        shown = record.has_text or result.turn.tool_calls
        if stop_mode is StopMode.ROLLBACK or not (shown or stop_mode):
            result = replace(result, transcript=())
        return Commit(
            lease=task.lease,
            revision=task.session.revision,
            result=result,
            snapshot=None,
            clear_journal=turn.attempt.journal.stale_keys(),
            lease_expires=self._leases.new_expiry(),
        )


def flow_version_gone(error: FlowNotFound | SnapshotInvalid) -> TurnError:
    """Returns the error of a turn whose session's flow, or state in it, is not installed any more."""
    return TurnError(
        reason="FLOW_VERSION_GONE", message=f"The session cannot go on from where it was: {error}."
    )
