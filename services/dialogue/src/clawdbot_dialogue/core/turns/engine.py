"""The turn engine as its callers see it. It puts the parts of this folder together and keeps no state itself.

A turn belongs to the engine and not to its caller: it runs on when the caller's deadline passes or the caller
disconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot_servicekit.call_record import annotate
from clawdbot_servicekit.errors import NotReady

from clawdbot_dialogue.core.errors import StoreUnavailable
from clawdbot_dialogue.core.machine.snapshot import FlowLookup, Snapshot
from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners
from clawdbot_dialogue.core.sessions.records import Commit, LeaseRequest, NewSession, TurnResult, TurnTask
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.admission import TurnAdmission, TurnRequest
from clawdbot_dialogue.core.turns.cancellation import TurnCancellation
from clawdbot_dialogue.core.turns.history import History
from clawdbot_dialogue.core.turns.hook_events import hook_events
from clawdbot_dialogue.core.turns.lease_table import LeaseTable
from clawdbot_dialogue.core.turns.maintenance import MaintenanceLoop
from clawdbot_dialogue.core.turns.ports import ModelGateway, ToolBox, TurnDependencies, TurnHooks, TurnLimits
from clawdbot_dialogue.core.turns.session_memory import SessionMemories, SessionMemory
from clawdbot_dialogue.core.turns.session_runner import SessionRunner
from clawdbot_dialogue.core.turns.subscription import TurnRef, TurnSubscription
from clawdbot_dialogue.core.turns.task_supervisor import TaskSupervisor

_log = structlog.get_logger(__name__)


class TurnEngine:
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
        load_flows: Callable[[int], Awaitable[None]],
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._limits = limits
        self._supervisor = TaskSupervisor()
        self._leases = LeaseTable(lease_owners, clock, limits.lease_seconds)
        self._memories = SessionMemories()
        self._runner = SessionRunner(
            TurnDependencies(store, gateway, tools, limits),
            flows,
            self._leases,
            clock,
            self._on_commit,
            memories=self._memories,
            load_flows=load_flows,
        )
        self._cancellation = TurnCancellation(store, self._leases, self._supervisor, clock)
        self._admission = TurnAdmission(
            store=store,
            hooks=hooks,
            leases=self._leases,
            runner=self._runner,
            supervisor=self._supervisor,
            cancellation=self._cancellation,
            clock=clock,
            inbox_limit=limits.inbox,
        )
        self._maintenance = MaintenanceLoop(
            store, self._leases, lease_owners, clock, self.start_task, memories=self._memories
        )

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
                await self._leases.wait_until_empty()
        except TimeoutError:
            _log.warning("turns_unfinished_at_stop", sessions=len(self._leases.held))
        leases = self._leases.held
        await self._supervisor.stop()
        if leases:
            try:
                await self._store.release_leases(leases)
            except StoreUnavailable as error:
                _log.warning("leases_not_released", reason=error.explanation)

    async def check(self) -> None:
        """Raises NotReady if turns would be accepted and not run."""
        if not self._supervisor.running:
            raise NotReady("the turn engine", "it is not running")

    # For callers

    async def send(self, request: TurnRequest) -> TurnResult:
        """Accepts an input, waits for the end of its turn and returns it. Raises what `accept` raises."""
        subscription = await self._admission.accept(request)
        try:
            return await subscription.result()
        finally:
            self._cancellation.unsubscribe(subscription)

    async def stream(
        self, request: TurnRequest, send: Callable[[StreamTurnResponse], Awaitable[None]]
    ) -> None:
        """Accepts an input and sends its turn's events from the first on. Raises what `accept` raises."""
        subscription = await self._admission.accept(request)
        annotate(turn=subscription.ref.id)
        try:
            await subscription.send_events(send)
        finally:
            self._cancellation.unsubscribe(subscription)

    async def accept(self, request: TurnRequest) -> TurnSubscription:
        """Accepts an input and returns a view of its turn. Raises what TurnAdmission.accept raises."""
        return await self._admission.accept(request)

    async def cancel(self, ref: TurnRef) -> TurnResult:
        """Ends a turn and returns its end. Raises what TurnCancellation.cancel raises."""
        return await self._cancellation.cancel(ref)

    async def find_turn_number(self, tenant: str, session_id: str, request_id: str) -> int:
        """Returns the number of the turn that a request_id names.

        Raises:
            SessionNotFound: the tenant has no such session.
            TurnNotFound: the session has no such turn.
        """
        return (await self._store.find_turn(tenant, session_id, request_id=request_id)).turn.number

    def subscribe(self, tenant: str, session_id: str, number: int) -> TurnSubscription:
        """Returns a view of an accepted turn, which goes on without this subscriber too."""
        return TurnSubscription(TurnRef(tenant, session_id, number), self._store, self._leases)

    # For the code that creates and deletes sessions

    def new_lease_request(self) -> LeaseRequest:
        """Returns a request for a lease that starts now."""
        return self._leases.new_lease_request()

    def start_task(self, task: TurnTask) -> None:
        """Runs a turn, and those that wait behind it, in a task of its own."""
        self._supervisor.spawn(self._runner.run(task, self._leases.add(task)))

    def on_session_created(self, new: NewSession, snapshot: Snapshot) -> None:
        """Takes note of a session that was stored without a turn to run, and of its snapshot."""
        self._on_timers_set(new.timers)
        turns = [new.opening.transcript] if isinstance(new.opening, TurnResult) else ()
        history = History(new.session.id, self._limits, turns)
        self._memories.keep(0, SessionMemory(new.session, new.snapshot, history, snapshot, {}))

    def abandon_session(self, session_id: str) -> None:
        """Ends the turns of a session that was deleted."""
        self._memories.forget(session_id)
        session = self._leases.get(session_id)
        if session is not None:
            session.lose_lease()

    def _on_commit(self, commit: Commit, seconds: float) -> None:
        """Tells the maintenance loop of the turn's timers, and observers of its end."""
        self._on_timers_set(commit.set_timers)
        for subject in hook_events(commit.result, seconds, self._hooks.observes):
            self._hooks.observe(subject)

    def _on_timers_set(self, timers: Mapping[str, float]) -> None:
        """Takes note of timers in the store that may be due before those known."""
        if timers:
            self._maintenance.on_timer_set(min(timers.values()))
