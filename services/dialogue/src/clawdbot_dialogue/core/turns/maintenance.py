"""The engine's background work: renews leases, stops and recovers turns, fires timers, forgets idle sessions.

Each duty is a loop of its own; one that fails is tried again at its next interval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog
from clawdbot.dialogue.v1.turn_pb2 import Turn

from clawdbot_dialogue.core.errors import DialogueError, SessionQuarantined, StoreUnavailable
from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners
from clawdbot_dialogue.core.sessions.records import (
    DueTimer,
    NewTurn,
    PendingSession,
    TurnTask,
)
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.sessions.view import to_timestamp
from clawdbot_dialogue.core.turns.inputs import input_digest, timer_fired_event
from clawdbot_dialogue.core.turns.lease_table import LeaseTable
from clawdbot_dialogue.core.turns.session_memory import SessionMemories

STOP_REQUEST_INTERVAL: Final = 0.25
"""Seconds between two reads of other processes' requests to stop a turn; only while turns run here."""
RECOVERY_INTERVAL: Final = 1.0
"""Seconds between two searches for orphaned turns."""
TIMER_INTERVAL: Final = 2.0
"""Most seconds between two searches for due timers: other processes set some too, and clocks are set."""
FORGET_INTERVAL: Final = 60.0
"""Seconds between two searches for sessions to forget."""
MAX_IDLE_TIME: Final = 540.0
"""Seconds without a turn after which a session is forgotten."""
MAX_BATCH: Final = 64
"""Sessions that are recovered, or timers that are fired, at once."""

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class MaintenanceLoop:
    """Run it with `run` until cancelled; call `drain` before the engine stops."""

    def __init__(
        self,
        store: SessionStore,
        leases: LeaseTable,
        lease_owners: LeaseOwners,
        clock: Callable[[], float],
        start_task: Callable[[TurnTask], None],
        *,
        memories: SessionMemories,
    ) -> None:
        self._store = store
        self._leases = leases
        self._lease_owners = lease_owners
        self._clock = clock
        self._start_task = start_task
        """Runs a turn, and those that wait behind it, in a task of its own."""
        self._memories = memories
        self._idle_leases: frozenset[tuple[str, int]] = frozenset()
        """Session and token of this process's leases that nothing ran under when last looked at."""
        self._draining = False
        self._next_timer: float | None = None
        self._timer_set = asyncio.Event()

    def drain(self) -> None:
        """Starts no more turns; leases are still renewed."""
        self._draining = True

    def on_timer_set(self, due: float) -> None:
        """Looks for due timers earlier, if this one is due before the next one known."""
        if self._next_timer is None or due < self._next_timer:
            self._timer_set.set()

    async def run(self) -> None:
        """Does each duty at its interval, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self.renew_leases, self._leases.lease_seconds / 3))
            group.create_task(self._repeat(self.apply_stop_requests, STOP_REQUEST_INTERVAL))
            group.create_task(self._repeat(self.recover_orphans, RECOVERY_INTERVAL))
            group.create_task(self._repeat(self.forget_sessions, FORGET_INTERVAL))
            group.create_task(self._fire_timers())

    async def _repeat(self, duty: Callable[[], Awaitable[None]], interval: float) -> None:
        while True:
            await self._try(duty)
            await asyncio.sleep(interval)

    async def _try(self, duty: Callable[[], Awaitable[T]]) -> T | None:
        """Does a duty; None if it fails."""
        try:
            return await duty()
        except StoreUnavailable as error:
            _log.warning("store_unavailable", duty=duty.__name__, reason=error.explanation)
        except Exception:  # noqa: BLE001 - logged; a defect in one duty must not end the engine
            _log.exception("duty_failed", duty=duty.__name__)
        return None

    async def renew_leases(self) -> None:
        """Renews every lease, and ends what runs under a lost one."""
        leases = self._leases.held
        if leases:
            for lost in await self._store.renew_leases(leases, self._leases.new_expiry()):
                self._leases.lose(lost)

    async def apply_stop_requests(self) -> None:
        """Stops the turns of this process that another process wants to stop."""
        if self._leases.held:
            for session_id, number, mode in await self._store.stop_requests():
                self._leases.stop_turn(session_id, number, mode)

    async def forget_sessions(self) -> None:
        """Forgets the remembered sessions without turns, and those that another process has deleted."""
        self._memories.forget_idle(MAX_IDLE_TIME)
        remembered = self._memories.session_ids
        if remembered:
            for each in remembered - await self._store.existing_sessions(remembered):
                self._memories.forget(each)

    async def recover_orphans(self) -> None:
        """Leases sessions with unfinished turns whose lease is released, has expired, or has a dead owner."""
        if self._draining:
            return
        pending = await self._store.pending_sessions()
        me = self._lease_owners.me
        idle = {
            (each.session_id, each.token)
            for each in pending
            if each.owner == me and self._leases.get(each.session_id) is None
        }
        # A lease of ours that nothing runs under is abandoned, unless it was granted this very moment.
        abandoned, self._idle_leases = self._idle_leases & idle, frozenset(idle)
        now = self._clock()
        others = {each.owner for each in pending} - {me, ""}
        dead = {"", *filter(self._lease_owners.gone, others)}
        orphaned = [
            each
            for each in pending
            if (each.session_id, each.token) in abandoned
            or (each.owner != me and (each.owner in dead or each.expires <= now))
        ]
        for start in range(0, len(orphaned), MAX_BATCH):
            await self._recover(orphaned[start : start + MAX_BATCH])

    async def _recover(self, orphaned: Sequence[PendingSession]) -> None:
        lease_request = self._leases.new_lease_request()
        outcomes = await asyncio.gather(
            *(self._store.acquire_lease(each, lease_request) for each in orphaned), return_exceptions=True
        )
        for pending, outcome in zip(orphaned, outcomes, strict=True):
            if isinstance(outcome, SessionQuarantined):
                _log.error("session_quarantined", session=pending.session_id, reason=outcome.explanation)
            elif isinstance(outcome, BaseException):
                raise outcome
            elif outcome is not None:
                attempt = outcome.inbox_turn.attempts
                _log.info("session_recovered", session=pending.session_id, attempt=attempt)
                self._start_task(outcome)

    async def _fire_timers(self) -> None:
        while True:
            self._timer_set.clear()
            pause = await self._try(self.fire_due_timers)
            try:
                async with asyncio.timeout(TIMER_INTERVAL if pause is None else pause):
                    await self._timer_set.wait()
            except TimeoutError:
                continue

    async def fire_due_timers(self) -> float:
        """Fires every due timer; returns in how many seconds to look again."""
        if self._draining:
            return TIMER_INTERVAL
        while True:
            now = self._clock()
            due, self._next_timer = await self._store.due_timers(now, MAX_BATCH)
            fired = [timer for timer in due if await self._fire(timer)]
            if not fired or len(due) < MAX_BATCH:
                break
        pause = TIMER_INTERVAL if self._next_timer is None else self._next_timer - now
        return min(TIMER_INTERVAL, max(0.0, pause))

    async def _fire(self, timer: DueTimer) -> bool:
        """Whether the timer was fired. An error of one session must not keep the other timers waiting."""
        now = self._clock()
        turn = Turn(create_time=to_timestamp(now), input_event=timer_fired_event(timer.timer_id))
        new = NewTurn(timer.tenant, timer.session_id, turn, input_digest(turn))
        try:
            accepted = await self._store.fire_timer(timer, new, self._leases.new_lease_request(), now)
        except StoreUnavailable:
            raise
        except DialogueError as error:
            _log.error("timer_not_fired", session=timer.session_id, error=type(error).__name__)
            return False
        if accepted is not None and accepted.task is not None:
            self._start_task(accepted.task)
        return True
