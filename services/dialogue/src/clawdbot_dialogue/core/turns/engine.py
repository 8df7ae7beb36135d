"""The turn engine: puts inputs in inboxes, runs their turns, lets callers subscribe to turns and cancel them.

A turn belongs to the engine and not to its caller: it runs on when the caller's deadline passes or the caller
disconnects.
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
from typing_extensions import override

from clawdbot_dialogue.core.errors import DialogueError, SessionNotFound, StoreUnavailable, TurnNotFound
from clawdbot_dialogue.core.machine.snapshot import FlowLookup
from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners
from clawdbot_dialogue.core.sessions.records import (
    STOP_MODES,
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
from clawdbot_dialogue.core.turns.hook_events import hook_events
from clawdbot_dialogue.core.turns.inputs import input_digest, timer_fired_event
from clawdbot_dialogue.core.turns.maintenance import MaintenanceLoop, TurnOwner
from clawdbot_dialogue.core.turns.ports import ModelGateway, ToolBox, TurnDependencies, TurnHooks, TurnLimits
from clawdbot_dialogue.core.turns.session_runner import LeasedSession, SessionRunner
from clawdbot_dialogue.core.turns.subscription import TurnRef, TurnSubscription
from clawdbot_dialogue.core.turns.task_supervisor import TaskSupervisor
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

_log = structlog.get_logger(__name__)


class TurnRequest(Struct, frozen=True):
    """A caller's input for a session."""

    tenant: str
    session_id: str
    input: Message | Event
    request_id: str = ""
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ENQUEUE
    cancel_on_disconnect: bool = False


class TurnEngine(TurnOwner):
    """Runs turns. Start and stop it in the event loop that uses it."""

    def __init__(
        self,
        *,
        store: SessionStore,
        flows: FlowLookup,
        gateway: ModelGateway,
        tools: ToolBox,
        hooks: TurnHooks,
        lease_owners: LeaseOwners,
        limits: TurnLimits,
        clock: Callable[[], float],
        refresh_flows: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._lease_owners = lease_owners
        self._limits = limits
        self._clock = clock
        self._active_turns = ActiveTurns()
        self._sessions: dict[str, LeasedSession] = {}
        self._runner = SessionRunner(
            TurnDependencies(store, gateway, tools, limits),
            flows,
            self._active_turns,
            clock,
            self._on_commit,
            refresh_flows=refresh_flows,
        )
        self._maintenance = MaintenanceLoop(self, store, lease_owners, clock, limits.lease_seconds)
        self._supervisor = TaskSupervisor()
        self._idle = asyncio.Event()
        self._idle.set()

    # Start and stop

    async def start(self) -> None:
        """Starts to recover orphaned turns, to fire timers and to run new turns."""
        await self._supervisor.start()
        self._supervisor.spawn(self._maintenance.run())

    async def stop(self) -> None:
        """Waits for running turns for a moment; the rest stay in the inbox, for any process to recover."""
        if not self._supervisor.running:
            return
        self._maintenance.drain()
        try:
            async with asyncio.timeout(self._limits.shutdown_grace):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("turns_unfinished_at_stop", sessions=len(self._sessions))
        leases = self.leases
        await self._supervisor.stop()
        if leases:
            try:
                await self._store.release_leases(leases)
            except StoreUnavailable as error:
                _log.warning("leases_not_released", reason=error.explanation)

    def check(self) -> None:
        """Raises NotReady if turns would be accepted and not run."""
        if not self._supervisor.running:
            raise NotReady("the turn engine", "it is not running")

    # For callers

    async def send(self, request: TurnRequest) -> TurnResult:
        """Accepts an input, waits for the end of its turn and returns it. Raises what `accept` raises."""
        subscription = await self.accept(request)
        try:
            return await subscription.result()
        finally:
            self._unsubscribe(subscription)

    async def stream(self, request: TurnRequest) -> AsyncGenerator[StreamTurnResponse, None]:
        """Accepts an input and yields its turn's events from the first on. Raises what `accept` raises."""
        subscription = await self.accept(request)
        try:
            async with aclosing(subscription.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._unsubscribe(subscription)

    async def accept(self, request: TurnRequest) -> TurnSubscription:
        """Puts an input in the inbox, or joins the turn that its request_id names.

        Raises:
            SessionNotFound, SessionEnded, SessionQuarantined, SessionBusy, InboxFull, RequestIdReused,
            StoreUnavailable, ShuttingDown: nothing was accepted.
            A gate hook's refusal: nothing was accepted.
        """
        turn = Turn(request_id=request.request_id, create_time=to_timestamp(self._clock()))
        if isinstance(request.input, Message):
            turn.input.CopyFrom(request.input)
        else:
            turn.input_event.CopyFrom(request.input)
        new = NewTurn(
            request.tenant,
            request.session_id,
            turn,
            input_digest(turn),
            request.concurrency,
            request.cancel_on_disconnect,
            self._limits.inbox,
        )
        try:
            await self._hooks.gate(HookSubject(point="before_turn", session_id=request.session_id))
        except Exception:
            # A retry of a turn that was allowed is not a new turn.
            if not await self._is_known(new):
                raise
        accepted: asyncio.Future[TurnSubscription] = asyncio.get_running_loop().create_future()
        self._supervisor.spawn(self._accept_and_run(new, accepted))
        try:
            return await accepted
        except asyncio.CancelledError:
            if accepted.done() and not accepted.cancelled() and accepted.exception() is None:
                self._unsubscribe(accepted.result())
            raise

    async def cancel(self, ref: TurnRef) -> TurnResult:
        """Ends a turn that waits or runs, in whichever process, and returns its end.

        Raises:
            SessionNotFound: the tenant has no such session.
            TurnNotFound: the session has no such turn.
        """
        while True:
            found = await self._store.find_turn(ref.tenant, ref.session_id, number=ref.number)
            if found.result is not None:
                return found.result
            active_turn = self._active_turns.get(ref.session_id, ref.number)
            if active_turn is not None and active_turn.started:
                active_turn.cancel_scope.stop(StopMode.CANCEL)
            elif found.running:
                await self._store.request_stop(ref.session_id, ref.number, StopMode.CANCEL)
            else:
                result = await self._cancel_waiting(ref, found)
                if result is None:
                    continue
                return result
            return await self._subscribe(ref, joined=True).result()

    async def find_turn_number(self, tenant: str, session_id: str, request_id: str) -> int:
        """Returns the number of the turn that a request_id names.

        Raises:
            SessionNotFound: the tenant has no such session.
            TurnNotFound: the session has no such turn.
        """
        return (await self._store.find_turn(tenant, session_id, request_id=request_id)).turn.number

    def abandon_session(self, session_id: str) -> None:
        """Ends the turns of a session that was deleted."""
        for active_turn in self._active_turns.of_session(session_id):
            active_turn.cancel_scope.lose_lease()

    def subscribe(self, tenant: str, session_id: str, number: int) -> TurnSubscription:
        """Returns a view of an accepted turn, which goes on without this subscriber too."""
        return self._subscribe(TurnRef(tenant, session_id, number), joined=False)

    def on_timers_set(self, timers: Mapping[str, float]) -> None:
        """Takes note of timers in the store that may be due before those known."""
        if timers:
            self._maintenance.on_timer_set(min(timers.values()))

    # For the maintenance loop

    @property
    @override
    def leases(self) -> list[Lease]:
        return [session.lease for session in self._sessions.values()]

    @override
    def holds(self, session_id: str) -> bool:
        return session_id in self._sessions

    @override
    def new_lease_request(self) -> LeaseRequest:
        return LeaseRequest(self._lease_owners.me, self._clock() + self._limits.lease_seconds)

    @override
    def start_task(self, task: TurnTask) -> None:
        session = self._add_session(task)
        self._supervisor.spawn(self._run(task, session))

    @override
    def on_lease_lost(self, lease: Lease) -> None:
        session = self._sessions.get(lease.session_id)
        if session is not None and session.lease == lease:
            for active_turn in self._active_turns.of_session(lease.session_id):
                active_turn.cancel_scope.lose_lease()

    @override
    def stop_turn(self, session_id: str, number: int, mode: StopMode) -> None:
        active_turn = self._active_turns.get(session_id, number)
        if active_turn is not None:
            active_turn.cancel_scope.stop(mode)

    @override
    async def fire_timer(self, timer: DueTimer) -> None:
        turn = Turn(create_time=to_timestamp(self._clock()), input_event=timer_fired_event(timer.timer_id))
        new = NewTurn(timer.tenant, timer.session_id, turn, input_digest(turn))
        accepted = await self._store.fire_timer(timer, new, self.new_lease_request(), self._clock())
        if accepted is not None and accepted.task is not None:
            self.start_task(accepted.task)

    # Internals

    async def _accept_and_run(self, new: NewTurn, accepted: asyncio.Future[TurnSubscription]) -> None:
        """Accepts an input and runs the task it won. In its own task: the caller may leave at any moment."""
        try:
            outcome = await self._store.accept_turn(new, self.new_lease_request(), self._clock())
        except Exception as error:  # noqa: BLE001 - raised in the caller
            if not accepted.done():
                accepted.set_exception(error)
            return
        except asyncio.CancelledError:
            if not accepted.done():
                accepted.set_exception(ShuttingDown())
            raise
        session = self._add_session(outcome.task) if outcome.task is not None else None
        subscription = self._subscribe(
            TurnRef(new.tenant, new.session_id, outcome.number),
            joined=outcome.joined,
            result=outcome.result,
            inbox=outcome.inbox,
        )
        if accepted.done():
            self._unsubscribe(subscription)
        else:
            accepted.set_result(subscription)
        if outcome.stopped_turn is not None:
            self.stop_turn(new.session_id, outcome.stopped_turn, STOP_MODES[new.concurrency])
        if outcome.task is not None and session is not None:
            await self._run(outcome.task, session)

    def _add_session(self, task: TurnTask) -> LeasedSession:
        session = LeasedSession(task.lease, task.inbox_turn.turn.number - 1)
        self._sessions[task.lease.session_id] = session
        self._idle.clear()
        return session

    async def _run(self, task: TurnTask, session: LeasedSession) -> None:
        enter_caller(Caller(tenant=task.session.tenant))
        try:
            await self._runner.run(task, session)
        finally:
            if self._sessions.get(task.lease.session_id) is session:
                del self._sessions[task.lease.session_id]
            if not self._sessions:
                self._idle.set()

    def _subscribe(
        self,
        ref: TurnRef,
        *,
        joined: bool,
        result: TurnResult | None = None,
        inbox: InboxTurn | None = None,
    ) -> TurnSubscription:
        session = self._sessions.get(ref.session_id)
        active_turn = None
        if result is None and session is not None and ref.number > session.last_finished:
            active_turn = self._active_turns.open(ref.session_id, ref.number)
            active_turn.subscribers += 1
        return TurnSubscription(
            ref,
            self._store,
            self._active_turns,
            joined=joined,
            active_turn=active_turn,
            result=result,
            cancel_on_disconnect=inbox is not None and inbox.cancel_on_disconnect,
        )

    def _unsubscribe(self, subscription: TurnSubscription) -> None:
        active_turn = subscription.active_turn
        if active_turn is not None:
            active_turn.subscribers -= 1
        if subscription.completed or not self._supervisor.running:
            return
        if subscription.cancel_on_disconnect and (active_turn is None or not active_turn.subscribers):
            self._supervisor.spawn(self._cancel_abandoned(subscription.ref))

    async def _is_known(self, new: NewTurn) -> bool:
        """Whether the input's request_id names a turn already."""
        if not new.turn.request_id:
            return False
        try:
            await self._store.find_turn(new.tenant, new.session_id, request_id=new.turn.request_id)
        except (SessionNotFound, TurnNotFound):
            return False
        return True

    async def _cancel_abandoned(self, ref: TurnRef) -> None:
        """Cancels a turn whose last caller disconnected and had asked for that."""
        try:
            await self.cancel(ref)
        except DialogueError as error:
            _log.warning("turn_not_cancelled", turn=ref.id, error=type(error).__name__)

    async def _cancel_waiting(self, ref: TurnRef, found: FoundTurn) -> TurnResult | None:
        """Ends a turn that nobody runs; None if a process started it meanwhile."""
        session = await self._store.get_session(ref.tenant, ref.session_id)
        record = TurnRecord(found.turn, lambda _: None)
        result = replace(record.end(TURN_STATUS_CANCELLED, session, self._clock()), transcript=())
        if not await self._store.finish_waiting(result):
            return None
        active_turn = self._active_turns.get(ref.session_id, ref.number)
        if active_turn is not None:
            active_turn.finish(result)
            self._active_turns.remove(active_turn)
        return result

    def _on_commit(self, commit: Commit, seconds: float) -> None:
        """Tells the maintenance loop of the turn's timers, and observers of its end."""
        self.on_timers_set(commit.set_timers)
        for subject in hook_events(commit.result, seconds):
            self._hooks.observe(subject)
