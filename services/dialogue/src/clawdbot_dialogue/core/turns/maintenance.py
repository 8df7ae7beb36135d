"""What the engine does unasked: renews claims, heeds wishes, takes over abandoned turns, fires timers.

Each duty is a loop of its own, and what goes wrong with one is tried again at its next beat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import structlog

from clawdbot_dialogue.core.errors import DialogueError, SessionQuarantined, StoreUnavailable
from clawdbot_dialogue.core.sessions.records import (
    DueTimer,
    Lease,
    LeaseRequest,
    PendingSession,
    StopMode,
    TurnTask,
)
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.ports import LeaseOwners

STOP_REQUEST_INTERVAL: Final = 0.25
"""Seconds between two looks for turns that another process wants stopped; only while there are turns."""
RECOVERY_INTERVAL: Final = 1.0
"""Seconds between two looks for abandoned turns."""
TIMER_INTERVAL: Final = 2.0
"""Seconds between two looks for timers, at most: others set some too, and clocks are stepped."""
MAX_BATCH: Final = 64
"""Sessions taken over, or timers fired, side by side."""

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class TurnOwner(Protocol):
    """What the caretaker looks after: the engine."""

    @property
    def leases(self) -> list[Lease]:
        """What this process holds."""

    def holds(self, session_id: str) -> bool:
        """Whether this process does turns of the session."""

    def new_lease_request(self) -> LeaseRequest:
        """A bid for a session, from now on."""

    def start_task(self, work: TurnTask) -> None:
        """Does the work."""

    def on_lease_lost(self, claim: Lease) -> None:
        """Ends what is done under a claim that is lost."""

    def stop_turn(self, session_id: str, number: int, wish: StopMode) -> None:
        """Ends a turn of this process's."""

    async def fire_timer(self, timer: DueTimer) -> None:
        """Turns a due timer into a turn."""


class MaintenanceLoop:
    """The engine's background duties. `run` until cancelled; `rest` before the engine stops."""

    def __init__(
        self,
        ward: TurnOwner,
        store: SessionStore,
        owners: LeaseOwners,
        clock: Callable[[], float],
        claim: float,
    ) -> None:
        self._ward = ward
        self._store = store
        self._owners = owners
        self._clock = clock
        self._claim = claim
        self._orphans: frozenset[tuple[str, int]] = frozenset()
        self._resting = False
        self._next_timer: float | None = None
        self._timer_set = asyncio.Event()

    def drain(self) -> None:
        """Takes nothing new on; what is held is still renewed."""
        self._resting = True

    def on_timer_set(self, due: float) -> None:
        """A timer was set that may be due before the ones known."""
        if self._next_timer is None or due < self._next_timer:
            self._timer_set.set()

    async def run(self) -> None:
        """Does every duty at its beat."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(self.renew_leases, self._claim / 3))
            group.create_task(self._beat(self.apply_stop_requests, STOP_REQUEST_INTERVAL))
            group.create_task(self._beat(self.recover_orphans, RECOVERY_INTERVAL))
            group.create_task(self._fire_forever())

    async def _beat(self, duty: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            await self._dutiful(duty)
            await asyncio.sleep(pause)

    async def _dutiful(self, duty: Callable[[], Awaitable[T]]) -> T | None:
        """Does a duty; None where it could not be done."""
        try:
            return await duty()
        except StoreUnavailable as fault:
            _log.warning("store_unavailable", duty=duty.__name__, reason=fault.explanation)
        except Exception:  # noqa: BLE001 - logged; a defect in one duty must not end the engine
            _log.exception("duty_failed", duty=duty.__name__)
        return None

    async def renew_leases(self) -> None:
        """Extends every claim; ends the work under those that are lost."""
        held = self._ward.leases
        if held:
            for lost in await self._store.renew_leases(held, self._ward.new_lease_request().expires):
                self._ward.on_lease_lost(lost)

    async def apply_stop_requests(self) -> None:
        """Stops the turns of this process that somebody elsewhere wants stopped."""
        if self._ward.leases:
            for session_id, number, wish in await self._store.stop_requests():
                self._ward.stop_turn(session_id, number, wish)

    async def recover_orphans(self) -> None:
        """Claims sessions with turns to do whose owner let go, ran out of time or is dead."""
        if self._resting:
            return
        stranded = await self._store.pending_sessions()
        mine = {
            (each.session_id, each.token)
            for each in stranded
            if each.owner == self._owners.me and not self._ward.holds(each.session_id)
        }
        # A claim of ours that nobody works at is abandoned, unless it was given this very moment.
        orphans, self._orphans = self._orphans & mine, frozenset(mine)
        now = self._clock()
        others = {each.owner for each in stranded} - {self._owners.me, ""}
        dead = {"", *filter(self._owners.gone, others)}
        free = [
            each
            for each in stranded
            if (each.session_id, each.token) in orphans
            or (each.owner != self._owners.me and (each.owner in dead or each.expires <= now))
        ]
        for start in range(0, len(free), MAX_BATCH):
            await self._claim_all(free[start : start + MAX_BATCH])

    async def _claim_all(self, free: Sequence[PendingSession]) -> None:
        bid = self._ward.new_lease_request()
        claimed = await asyncio.gather(
            *(self._store.acquire_lease(each, bid) for each in free), return_exceptions=True
        )
        for seen, work in zip(free, claimed, strict=True):
            if isinstance(work, SessionQuarantined):
                _log.error("session_quarantined", session=seen.session_id, reason=work.explanation)
            elif isinstance(work, BaseException):
                raise work
            elif work is not None:
                _log.info("session_taken_over", session=seen.session_id, attempt=work.inbox_turn.attempts)
                self._ward.start_task(work)

    async def _fire_forever(self) -> None:
        while True:
            self._timer_set.clear()
            pause = await self._dutiful(self.fire_due_timers)
            try:
                async with asyncio.timeout(TIMER_INTERVAL if pause is None else pause):
                    await self._timer_set.wait()
            except TimeoutError:
                continue

    async def fire_due_timers(self) -> float:
        """Fires every timer that is due; returns in how many seconds to look again."""
        if self._resting:
            return TIMER_INTERVAL
        while True:
            now = self._clock()
            due, self._next_timer = await self._store.due_timers(now, MAX_BATCH)
            fired = [timer for timer in due if await self._fire(timer)]
            if not fired or len(due) < MAX_BATCH:
                break
        following = TIMER_INTERVAL if self._next_timer is None else self._next_timer - now
        return min(TIMER_INTERVAL, max(0.0, following))

    async def _fire(self, timer: DueTimer) -> bool:
        """Whether that is done; one session's trouble must not keep the others' timers back."""
        try:
            await self._ward.fire_timer(timer)
        except StoreUnavailable:
            raise
        except DialogueError as fault:
            _log.error("timer_not_fired", session=timer.session_id, fault=type(fault).__name__)
            return False
        return True
