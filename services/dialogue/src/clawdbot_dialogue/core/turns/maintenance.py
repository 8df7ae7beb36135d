"""The engine's background work: renews leases, stops turns, recovers orphaned turns, fires timers.

Each duty is a loop of its own; one that fails is tried again at its next interval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import structlog

from clawdbot_dialogue.core.errors import DialogueError, SessionQuarantined, StoreUnavailable
from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners
from clawdbot_dialogue.core.sessions.records import (
    DueTimer,
    Lease,
    LeaseRequest,
    PendingSession,
    StopMode,
    TurnTask,
)
from clawdbot_dialogue.core.sessions.store import SessionStore

STOP_REQUEST_INTERVAL: Final = 0.25
"""Seconds between two reads of other processes' requests to stop a turn; only while turns run here."""
RECOVERY_INTERVAL: Final = 1.0
"""Seconds between two searches for orphaned turns."""
TIMER_INTERVAL: Final = 2.0
"""Most seconds between two searches for due timers: other processes set some too, and clocks are set."""
MAX_BATCH: Final = 64
"""Sessions that are recovered, or timers that are fired, at once."""

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class TurnOwner(Protocol):
    """What the loop needs from the turn engine."""

    @property
    def leases(self) -> list[Lease]:
        """The leases of this process."""

    def holds(self, session_id: str) -> bool:
        """Returns whether this process runs turns of the session."""

    def new_lease_request(self) -> LeaseRequest:
        """Returns a request for a lease that starts now."""

    def start_task(self, task: TurnTask) -> None:
        """Runs a turn, and those that wait behind it."""

    def on_lease_lost(self, lease: Lease) -> None:
        """Ends what runs under a lost lease."""

    def stop_turn(self, session_id: str, number: int, mode: StopMode) -> None:
        """Ends a turn of this process; does nothing for any other turn."""

    async def fire_timer(self, timer: DueTimer) -> None:
        """Turns a due timer into a turn, unless another process did."""


class MaintenanceLoop:
    """Run it with `run` until cancelled; call `drain` before the engine stops."""

    def __init__(
        self,
        turn_owner: TurnOwner,
        store: SessionStore,
        lease_owners: LeaseOwners,
        clock: Callable[[], float],
        lease_seconds: float,
    ) -> None:
        self._turn_owner = turn_owner
        self._store = store
        self._lease_owners = lease_owners
        self._clock = clock
        self._lease_seconds = lease_seconds
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
            group.create_task(self._repeat(self.renew_leases, self._lease_seconds / 3))
            group.create_task(self._repeat(self.apply_stop_requests, STOP_REQUEST_INTERVAL))
            group.create_task(self._repeat(self.recover_orphans, RECOVERY_INTERVAL))
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
        leases = self._turn_owner.leases
        if leases:
            expires = self._turn_owner.new_lease_request().expires
            for lost in await self._store.renew_leases(leases, expires):
                self._turn_owner.on_lease_lost(lost)

    async def apply_stop_requests(self) -> None:
        """Stops the turns of this process that another process wants to stop."""
        if self._turn_owner.leases:
            for session_id, number, mode in await self._store.stop_requests():
                self._turn_owner.stop_turn(session_id, number, mode)

    async def recover_orphans(self) -> None:
        """Leases sessions with unfinished turns whose lease is released, has expired, or has a dead owner."""
        if self._draining:
            return
        pending = await self._store.pending_sessions()
        me = self._lease_owners.me
        idle = {
            (each.session_id, each.token)
            for each in pending
            if each.owner == me and not self._turn_owner.holds(each.session_id)
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
        lease_request = self._turn_owner.new_lease_request()
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
                self._turn_owner.start_task(outcome)

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
        try:
            await self._turn_owner.fire_timer(timer)
        except StoreUnavailable:
            raise
        except DialogueError as error:
            _log.error("timer_not_fired", session=timer.session_id, error=type(error).__name__)
            return False
        return True
