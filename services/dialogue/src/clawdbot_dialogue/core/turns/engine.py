"""The turn engine: puts inputs in inboxes, has their turns done, lets them be followed and cancelled.

A turn is the engine's, not its caller's: it goes on when the caller's time is up or the caller goes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing

import structlog
from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED, Event, Turn
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot_servicekit.caller import Caller, enter_caller
from clawdbot_servicekit.errors import NotReady, ShuttingDown
from msgspec import Struct
from msgspec.structs import replace

from clawdbot_dialogue.core.errors import DialogueError, SessionNotFound, StoreUnavailable, TurnNotFound
from clawdbot_dialogue.core.machine.snapshot import FlowLookup
from clawdbot_dialogue.core.sessions.records import (
    Commit,
    ConcurrencyPolicy,
    DueTimer,
    FoundTurn,
    InboxTurn,
    Lease,
    LeaseRequest,
    NewTurn,
    StopMode,
    TurnResult,
    TurnTask,
)
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.sessions.view import to_timestamp
from clawdbot_dialogue.core.turns.active_turns import ActiveTurns
from clawdbot_dialogue.core.turns.generation import TurnDependencies
from clawdbot_dialogue.core.turns.hook_events import hook_events
from clawdbot_dialogue.core.turns.inputs import input_digest, timer_fired_event
from clawdbot_dialogue.core.turns.maintenance import MaintenanceLoop
from clawdbot_dialogue.core.turns.ports import LeaseOwners, ModelGateway, ToolBox, TurnHooks, TurnLimits
from clawdbot_dialogue.core.turns.session_runner import LeasedSession, SessionRunner
from clawdbot_dialogue.core.turns.subscription import TurnRef, TurnSubscription
from clawdbot_dialogue.core.turns.task_supervisor import TaskSupervisor
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

_log = structlog.get_logger(__name__)

STOPS = {ConcurrencyPolicy.INTERRUPT: StopMode.CANCEL, ConcurrencyPolicy.ROLLBACK: StopMode.ROLLBACK}


class TurnRequest(Struct, frozen=True):
    """An input that a caller has for a session."""

    tenant: str
    session_id: str
    input: Message | Event
    request_id: str = ""
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ENQUEUE
    cancel_on_disconnect: bool = False


class TurnEngine:
    """Does turns. Start it in the loop that uses it, and stop it there."""

    def __init__(
        self,
        *,
        store: SessionStore,
        flows: FlowLookup,
        gateway: ModelGateway,
        tools: ToolBox,
        hooks: TurnHooks,
        owners: LeaseOwners,
        limits: TurnLimits,
        clock: Callable[[], float],
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._lease_owners = owners
        self._limits = limits
        self._clock = clock
        self._active_turns = ActiveTurns()
        self._sessions: dict[str, LeasedSession] = {}
        self._runner = SessionRunner(
            TurnDependencies(store, gateway, tools, limits),
            flows,
            self._active_turns,
            clock,
            self._committed,
            refresh=refresh,
        )
        self._maintenance = MaintenanceLoop(self, store, owners, clock, limits.lease_seconds)
        self._supervisor = TaskSupervisor()
        self._idle = asyncio.Event()
        self._idle.set()

    # Life

    async def start(self) -> None:
        """Begins to take turns over that were left undone, and to fire timers."""
        await self._supervisor.start()
        self._supervisor.spawn(self._maintenance.run())

    async def stop(self) -> None:
        """Lets turns under way end for a moment; leaves the rest in the inbox, for whoever comes next."""
        if not self._supervisor.running:
            return
        self._maintenance.drain()
        try:
            async with asyncio.timeout(self._limits.shutdown_grace):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("turns_left", sessions=len(self._sessions))
        held = [run.lease for run in self._sessions.values()]
        await self._supervisor.stop()
        if held:
            try:
                await self._store.release_leases(held)
            except StoreUnavailable as fault:
                _log.warning("claims_not_released", reason=fault.explanation)

    def check(self) -> None:
        """Raises NotReady when turns would be accepted and not done."""
        if not self._supervisor.running:
            raise NotReady("the turn engine", "it does not run")

    # For callers

    async def send(self, wish: TurnRequest) -> TurnResult:
        """Accepts an input and waits for the end of its turn. Errors as for `accept`."""
        following = await self.accept(wish)
        try:
            return await following.result()
        finally:
            self._leave(following)

    async def stream(self, wish: TurnRequest) -> AsyncGenerator[StreamTurnResponse, None]:
        """Accepts an input and gives its turn's events from the first on. Errors as for `accept`."""
        following = await self.accept(wish)
        try:
            async with aclosing(following.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._leave(following)

    async def accept(self, wish: TurnRequest) -> TurnSubscription:
        """Puts an input in the inbox, or finds the turn that its request_id names. End with `leave`.

        Raises:
            SessionNotFound, SessionEnded, SessionQuarantined, SessionBusy, InboxFull, RequestIdReused,
            StoreUnavailable, ShuttingDown: nothing was accepted.
            Whatever the hooks refuse with.
        """
        turn = Turn(request_id=wish.request_id, create_time=to_timestamp(self._clock()))
        if isinstance(wish.input, Message):
            turn.input.CopyFrom(wish.input)
        else:
            turn.input_event.CopyFrom(wish.input)
        new = NewTurn(
            wish.tenant,
            wish.session_id,
            turn,
            input_digest(turn),
            wish.concurrency,
            wish.cancel_on_disconnect,
            self._limits.inbox,
        )
        try:
            await self._hooks.gate(HookSubject(point="before_turn", session_id=wish.session_id))
        except Exception:
            # A retry of a turn that was let in is no new turn.
            if not await self._known(new):
                raise
        accepted: asyncio.Future[TurnSubscription] = asyncio.get_running_loop().create_future()
        self._supervisor.spawn(self._admit(new, accepted))
        try:
            return await accepted
        except asyncio.CancelledError:
            if accepted.done() and not accepted.cancelled() and accepted.exception() is None:
                self._leave(accepted.result())
            raise

    def _leave(self, following: TurnSubscription) -> None:
        """The caller does not follow the turn any more."""
        live = following.live
        if live is not None:
            live.subscribers -= 1
        if following.completed or not self._supervisor.running:
            return
        if following.cancels and (live is None or not live.subscribers):
            self._supervisor.spawn(self._give_up(following.name))

    async def cancel(self, name: TurnRef) -> TurnResult:
        """Ends a turn that waits or runs, wherever it does, and returns its end.

        Raises:
            SessionNotFound, TurnNotFound: there is none.
        """
        while True:
            found = await self._store.find_turn(name.tenant, name.session_id, number=name.number)
            if found.result is not None:
                return found.result
            live = self._active_turns.get(name.session_id, name.number)
            if live is not None and live.started:
                live.cancel_scope.stop(StopMode.CANCEL)
            elif found.running:
                await self._store.request_stop(name.session_id, name.number, StopMode.CANCEL)
            else:
                ended = await self._cancel_waiting(name, found)
                if ended is None:
                    continue
                return ended
            return await self._following(name, joined=True).result()

    async def find_turn_number(self, tenant: str, session_id: str, request_id: str) -> int:
        """The position of the turn that a request_id names.

        Raises:
            SessionNotFound, TurnNotFound: there is none.
        """
        return (await self._store.find_turn(tenant, session_id, request_id=request_id)).turn.number

    def abandon_session(self, session_id: str) -> None:
        """Ends what this process does for a session that was deleted."""
        for live in self._active_turns.of_session(session_id):
            live.cancel_scope.lose_lease()

    def subscribe(self, tenant: str, session_id: str, number: int) -> TurnSubscription:
        """A view of a turn that is under way already. Needs no `leave`."""
        return self._following(TurnRef(tenant, session_id, number), joined=False)

    def on_timers_set(self, timers: Mapping[str, float]) -> None:
        """Timers are in the store that may be due before the ones known."""
        if timers:
            self._maintenance.on_timer_set(min(timers.values()))

    # For the caretaker

    @property
    def leases(self) -> list[Lease]:
        """What this process holds."""
        return [run.lease for run in self._sessions.values()]

    def holds(self, session_id: str) -> bool:
        """Whether this process does turns of the session."""
        return session_id in self._sessions

    def new_lease_request(self) -> LeaseRequest:
        """A bid for a session, from now on."""
        return LeaseRequest(self._lease_owners.me, self._clock() + self._limits.lease_seconds)

    def start_task(self, work: TurnTask) -> None:
        """Does the work in a task of the engine's own."""
        run = self._hold(work)
        self._supervisor.spawn(self._run(work, run))

    def on_lease_lost(self, claim: Lease) -> None:
        """Ends what is done under a claim that another writer has by now."""
        run = self._sessions.get(claim.session_id)
        if run is not None and run.lease == claim:
            for live in self._active_turns.of_session(claim.session_id):
                live.cancel_scope.lose_lease()

    def stop_turn(self, session_id: str, number: int, wish: StopMode) -> None:
        """Ends a turn of this process's; nothing where it does not do it."""
        live = self._active_turns.get(session_id, number)
        if live is not None:
            live.cancel_scope.stop(wish)

    async def fire_timer(self, timer: DueTimer) -> None:
        """Turns a due timer into a turn, unless somebody else did."""
        turn = Turn(create_time=to_timestamp(self._clock()), input_event=timer_fired_event(timer.timer_id))
        new = NewTurn(timer.tenant, timer.session_id, turn, input_digest(turn))
        accepted = await self._store.fire_timer(timer, new, self.new_lease_request(), self._clock())
        if accepted is not None and accepted.task is not None:
            self.start_task(accepted.task)

    # Within

    async def _admit(self, new: NewTurn, accepted: asyncio.Future[TurnSubscription]) -> None:
        """Accepts an input and does what it won. A task of its own: the caller may go away at any moment."""
        try:
            outcome = await self._store.accept_turn(new, self.new_lease_request(), self._clock())
        except Exception as fault:  # noqa: BLE001 - told to the caller
            if not accepted.done():
                accepted.set_exception(fault)
            return
        except asyncio.CancelledError:
            if not accepted.done():
                accepted.set_exception(ShuttingDown())
            raise
        run = self._hold(outcome.task) if outcome.task is not None else None
        following = self._following(
            TurnRef(new.tenant, new.session_id, outcome.number),
            joined=outcome.joined,
            finished=outcome.result,
            inbox=outcome.inbox,
        )
        if accepted.done():
            self._leave(following)
        else:
            accepted.set_result(following)
        if outcome.stopped_turn is not None:
            self.stop_turn(new.session_id, outcome.stopped_turn, STOPS[new.concurrency])
        if outcome.task is not None and run is not None:
            await self._run(outcome.task, run)

    def _hold(self, work: TurnTask) -> LeasedSession:
        run = LeasedSession(work.lease, work.inbox_turn.turn.number - 1)
        self._sessions[work.lease.session_id] = run
        self._idle.clear()
        return run

    async def _run(self, work: TurnTask, run: LeasedSession) -> None:
        enter_caller(Caller(tenant=work.session.tenant))
        try:
            await self._runner.run(work, run)
        finally:
            if self._sessions.get(work.lease.session_id) is run:
                del self._sessions[work.lease.session_id]
            if not self._sessions:
                self._idle.set()

    def _following(
        self,
        name: TurnRef,
        *,
        joined: bool,
        finished: TurnResult | None = None,
        inbox: InboxTurn | None = None,
    ) -> TurnSubscription:
        cancel = inbox is not None and inbox.cancel_on_disconnect
        run = self._sessions.get(name.session_id)
        live = None
        if finished is None and run is not None and name.number > run.last_finished:
            live = self._active_turns.open(name.session_id, name.number)
            live.subscribers += 1
        return TurnSubscription(
            name,
            self._store,
            self._active_turns,
            joined=joined,
            active_turn=live,
            finished=finished,
            cancel_on_disconnect=cancel,
        )

    async def _known(self, new: NewTurn) -> bool:
        """Whether the input's request_id names a turn already."""
        if not new.turn.request_id:
            return False
        try:
            await self._store.find_turn(new.tenant, new.session_id, request_id=new.turn.request_id)
        except (SessionNotFound, TurnNotFound):
            return False
        return True

    async def _give_up(self, name: TurnRef) -> None:
        """Cancels a turn whose caller went away and wanted that."""
        try:
            await self.cancel(name)
        except DialogueError as fault:
            _log.warning("turn_not_cancelled", turn=name.id, fault=type(fault).__name__)

    async def _cancel_waiting(self, name: TurnRef, found: FoundTurn) -> TurnResult | None:
        """Ends a turn that nobody has begun; None when somebody began it meanwhile."""
        session = await self._store.get_session(name.tenant, name.session_id)
        record = TurnRecord(found.turn, lambda _: None)
        ended = record.end(TURN_STATUS_CANCELLED, session, self._clock())
        ended = replace(ended, transcript=())
        if not await self._store.finish_waiting(ended):
            return None
        live = self._active_turns.get(name.session_id, name.number)
        if live is not None:
            live.finish(ended)
            self._active_turns.remove(live)
        return ended

    def _committed(self, commit: Commit, seconds: float) -> None:
        """Tells observers of a turn's end, and the caretaker of its timers."""
        self.on_timers_set(commit.set_timers)
        for subject in hook_events(commit.result, seconds):
            self._hooks.observe(subject)
