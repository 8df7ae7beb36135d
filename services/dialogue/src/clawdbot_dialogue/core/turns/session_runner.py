"""Does the turns of one claimed session, one after the other, until none waits or the claim is lost."""

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
from clawdbot_dialogue.core.sessions.records import Commit, InboxTurn, Lease, StopMode, TurnTask
from clawdbot_dialogue.core.sessions.view import encode_snapshot, session_from_snapshot, touch
from clawdbot_dialogue.core.turns.active_turns import ActiveTurn, ActiveTurns
from clawdbot_dialogue.core.turns.generation import TurnDependencies
from clawdbot_dialogue.core.turns.inputs import to_machine_event
from clawdbot_dialogue.core.turns.turn_attempt import TurnAttempt
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LeasedSession:
    """A session that this process has claimed."""

    lease: Lease
    last_finished: int = 0
    """Number of the turn that was finished last."""


class SessionRunner:
    """Does turns. One for the whole process; each claimed session runs in a task of its own."""

    def __init__(
        self,
        means: TurnDependencies,
        flows: FlowLookup,
        live: ActiveTurns,
        clock: Callable[[], float],
        committed: Callable[[Commit, float], None],
        *,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._means = means
        self._flows = flows
        self._live = live
        self._clock = clock
        self._committed = committed
        """Told of each commit and of the seconds that its turn took."""
        self._refresh = refresh
        """Takes in flows that other processes deployed: a session may be pinned to one."""

    async def run(self, work: TurnTask, run: LeasedSession) -> None:
        """Does the claimed turn and those that wait behind it."""
        try:
            await self._turns(work, run)
        except LeaseLost:
            _log.warning("claim_lost", session=work.lease.session_id)
            self._leave(work.lease.session_id, None)
        except DialogueError as fault:
            _log.warning("turn_left", session=work.lease.session_id, fault=type(fault).__name__)
            self._leave(work.lease.session_id, fault)
        except asyncio.CancelledError:
            self._leave(work.lease.session_id, None)
            raise
        except Exception:  # noqa: BLE001 - logged
            # A defect of ours ends one session's work, not everybody's; the caretaker takes it up again.
            _log.exception("runner_broke", session=work.lease.session_id)
            self._leave(work.lease.session_id, None)

    async def _turns(self, work: TurnTask, run: LeasedSession) -> None:
        snapshot: Snapshot | TurnError = await self._decoded(work)
        while True:
            begun = self._clock()
            inbox = work.inbox_turn
            live = self._live.start(work.lease.session_id, inbox.turn.number)
            commit, after = await self._attempt(work, snapshot, live)
            following = await self._means.store.commit(commit)
            run.last_finished = inbox.turn.number
            live.finish(commit.result)
            self._live.remove(live)
            self._committed(commit, self._clock() - begun)
            self._pass_over(work.lease.session_id, following)
            if following is None:
                return
            snapshot = after
            work = replace(work, session=commit.result.session, inbox_turn=following)

    def _pass_over(self, session_id: str, following: InboxTurn | None) -> None:
        """Sends those who follow a waiting turn to the store, where another process has cancelled it."""
        for live in self._live.of_session(session_id):
            if following is None or live.number < following.turn.number:
                live.fail(TurnMoved(session_id))
                self._live.remove(live)

    def _leave(self, session_id: str, fault: DialogueError | None) -> None:
        """Tells those who follow a turn of the session that it ends, or goes on, elsewhere."""
        for live in self._live.of_session(session_id):
            live.fail(fault or TurnMoved(session_id))
            self._live.remove(live)

    async def _decoded(self, work: TurnTask) -> Snapshot | TurnError:
        """The snapshot, or why its flow cannot go on.

        Raises:
            SessionQuarantined: it cannot be read.
        """
        try:
            stored = msgspec.json.decode(work.snapshot)
        except ValueError as error:
            explanation = f"its snapshot is no JSON: {error}"
            await self._means.store.quarantine(work.lease.session_id, explanation, self._clock())
            raise SessionQuarantined(work.lease.session_id, explanation) from error
        await self._refresh()
        try:
            return Snapshot.from_json(stored, self._flows)
        except (FlowNotFound, SnapshotInvalid) as error:
            # Kept as it is: with the flow put back, or the newer program, the session goes on.
            return flow_version_gone(error)

    async def _attempt(
        self, work: TurnTask, snapshot: Snapshot | TurnError, live: ActiveTurn
    ) -> tuple[Commit, Snapshot | TurnError]:
        """Does one turn, and says what to commit and where the machine stands then."""
        record = TurnRecord(work.inbox_turn.turn, live.emit)
        performance = TurnAttempt(self._means, self._flows, work, record)
        live.cancel_scope.stop_mode = max(live.cancel_scope.stop_mode, work.inbox_turn.stop_mode)
        error = snapshot if isinstance(snapshot, TurnError) else self._refusal(work)
        after: Snapshot | None = None
        if error is not None or isinstance(snapshot, TurnError) or live.cancel_scope.cancel_called:
            await performance.replay_journal()
        else:
            after, error = await self._perform(performance, work, snapshot, live)
        if live.cancel_scope.lease_lost:
            raise LeaseLost(work.lease.session_id)
        if error is not None or after is None:
            return self._broken_off(work, record, performance, live.cancel_scope.stop_mode, error), snapshot
        return self._done(work, record, performance, after), after

    def _refusal(self, work: TurnTask) -> TurnError | None:
        """Why the turn is not begun at all."""
        if work.session.status == SESSION_STATUS_ENDED:
            return TurnError(
                reason="SESSION_ENDED", message="The conversation had ended before its turn came."
            )
        if work.inbox_turn.attempts > self._means.limits.max_attempts:
            return TurnError(
                reason="TURN_GIVEN_UP",
                message=f"It was begun {self._means.limits.max_attempts} times and never came to an end.",
            )
        return None

    async def _perform(
        self, performance: TurnAttempt, work: TurnTask, snapshot: Snapshot, live: ActiveTurn
    ) -> tuple[Snapshot | None, TurnError | None]:
        limit = self._means.limits.turn_timeout
        deadline.enter_deadline(limit)
        after = None
        try:
            with live.cancel_scope:
                after = await performance.run(
                    snapshot, to_machine_event(work.inbox_turn.turn, self._means.limits.time_zone)
                )
        except TimeoutError:
            return None, TurnError(
                reason="TURN_TIMEOUT", message=f"The turn took more than {limit:g} seconds."
            )
        except (FlowNotFound, SnapshotInvalid) as error:
            return None, flow_version_gone(error)
        except (LeaseLost, StoreUnavailable, SessionQuarantined):
            raise
        except Exception:  # noqa: BLE001 - logged
            # A defect of ours must not take the session along: the turn fails, the next may well go through.
            _log.exception("turn_broke", session=work.lease.session_id, turn=work.inbox_turn.turn.id)
            return None, TurnError(
                reason="INTERNAL",
                message=f"Something went wrong inside; the log knows it as {work.inbox_turn.turn.id}.",
            )
        return after, performance.failure

    def _done(self, work: TurnTask, record: TurnRecord, performance: TurnAttempt, after: Snapshot) -> Commit:
        now = self._clock()
        session = session_from_snapshot(work.session, after, now)
        ended = session.status == SESSION_STATUS_ENDED
        return Commit(
            lease=work.lease,
            revision=work.session.revision,
            result=record.end(TURN_STATUS_DONE, session, now),
            snapshot=encode_snapshot(after),
            set_timers={} if ended else record.due_timers(now),
            clear_timers="all" if ended else record.clear_timers,
            clear_journal="all" if performance.journal.has_entries else (),
            lease_expires=now + self._means.limits.lease_seconds,
        )

    def _broken_off(
        self,
        work: TurnTask,
        record: TurnRecord,
        performance: TurnAttempt,
        stop: StopMode,
        error: TurnError | None,
    ) -> Commit:
        """The end of a turn that failed or was stopped: the session stands as before, what was said stays."""
        now = self._clock()
        session = touch(work.session, now)
        if stop:
            finished = record.end(TURN_STATUS_CANCELLED, session, now)
        else:
            finished = record.end(TURN_STATUS_FAILED, session, now, error)
        shown = record.has_text or finished.turn.tool_calls
        if stop is StopMode.ROLLBACK or not (shown or stop):
            finished = replace(finished, transcript=())
        return Commit(
            lease=work.lease,
            revision=work.session.revision,
            result=finished,
            snapshot=None,
            clear_journal=performance.journal.stale_keys(),
            lease_expires=now + self._means.limits.lease_seconds,
        )


def flow_version_gone(error: FlowNotFound | SnapshotInvalid) -> TurnError:
    """What a session is told whose flow, or whose place in it, is not there any more."""
    return TurnError(
        reason="FLOW_VERSION_GONE", message=f"This conversation cannot go on where it stood: {error}."
    )
