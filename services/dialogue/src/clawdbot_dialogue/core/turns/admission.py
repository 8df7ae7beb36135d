"""Takes inputs in: puts each in its session's inbox, and runs the session if that got its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.turn_pb2 import Event, Turn
from clawdbot.plugins.v1.hook_service_pb2 import HookSubject
from clawdbot_servicekit.errors import ShuttingDown
from msgspec import Struct

from clawdbot_dialogue.core.errors import SessionNotFound, TurnNotFound
from clawdbot_dialogue.core.sessions.records import STOP_MODES, ConcurrencyPolicy, NewTurn
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.sessions.view import to_timestamp
from clawdbot_dialogue.core.turns.cancellation import TurnCancellation
from clawdbot_dialogue.core.turns.inputs import input_digest
from clawdbot_dialogue.core.turns.lease_table import LeaseTable
from clawdbot_dialogue.core.turns.ports import TurnHooks
from clawdbot_dialogue.core.turns.session_runner import SessionRunner
from clawdbot_dialogue.core.turns.subscription import TurnRef, TurnSubscription
from clawdbot_dialogue.core.turns.task_supervisor import TaskSupervisor


class TurnRequest(Struct, frozen=True):
    """A caller's input for a session."""

    tenant: str
    session_id: str
    input: Message | Event
    request_id: str = ""
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ENQUEUE
    cancel_on_disconnect: bool = False


class TurnAdmission:
    """Accepts callers' inputs."""

    def __init__(
        self,
        *,
        store: SessionStore,
        hooks: TurnHooks,
        leases: LeaseTable,
        runner: SessionRunner,
        supervisor: TaskSupervisor,
        cancellation: TurnCancellation,
        clock: Callable[[], float],
        inbox_limit: int,
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._leases = leases
        self._runner = runner
        self._supervisor = supervisor
        self._cancellation = cancellation
        self._clock = clock
        self._inbox_limit = inbox_limit

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
            self._inbox_limit,
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
                self._cancellation.unsubscribe(accepted.result())
            raise

    async def _is_known(self, new: NewTurn) -> bool:
        """Whether the input's request_id names a turn already."""
        if not new.turn.request_id:
            return False
        try:
            await self._store.find_turn(new.tenant, new.session_id, request_id=new.turn.request_id)
        except (SessionNotFound, TurnNotFound):
            return False
        return True

    async def _accept_and_run(self, new: NewTurn, accepted: asyncio.Future[TurnSubscription]) -> None:
        """Accepts an input and runs the task it won. In its own task: the caller may leave at any moment."""
        try:
            outcome = await self._store.accept_turn(new, self._leases.new_lease_request(), self._clock())
        except Exception as error:  # noqa: BLE001 - raised in the caller
            if not accepted.done():
                accepted.set_exception(error)
            return
        except asyncio.CancelledError:
            if not accepted.done():
                accepted.set_exception(ShuttingDown())
            raise
        session = self._leases.add(outcome.task) if outcome.task is not None else None
        subscription = TurnSubscription(
            TurnRef(new.tenant, new.session_id, outcome.number),
            self._store,
            self._leases,
            joined=outcome.joined,
            result=outcome.result,
            cancel_on_disconnect=outcome.inbox is not None and outcome.inbox.cancel_on_disconnect,
        )
        if accepted.done():
            self._cancellation.unsubscribe(subscription)
        else:
            accepted.set_result(subscription)
        if outcome.stopped_turn is not None:
            self._leases.stop_turn(new.session_id, outcome.stopped_turn, STOP_MODES[new.concurrency])
        if outcome.task is not None and session is not None:
            await self._runner.run(outcome.task, session)
