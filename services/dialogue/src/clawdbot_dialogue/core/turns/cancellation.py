"""Ends turns: those that a caller wants to end, and those that were only wanted while somebody listened."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_CANCELLED
from msgspec.structs import replace

from clawdbot_dialogue.core.errors import DialogueError
from clawdbot_dialogue.core.sessions.records import FoundTurn, StopMode, TurnResult
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.turns.lease_table import LeaseTable
from clawdbot_dialogue.core.turns.subscription import TurnRef, TurnSubscription
from clawdbot_dialogue.core.turns.task_supervisor import TaskSupervisor
from clawdbot_dialogue.core.turns.turn_record import TurnRecord

_log = structlog.get_logger(__name__)


class TurnCancellation:
    """Cancels turns that wait or run, in whichever process."""

    def __init__(
        self,
        store: SessionStore,
        leases: LeaseTable,
        supervisor: TaskSupervisor,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._leases = leases
        self._supervisor = supervisor
        self._clock = clock

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
            active_turn = self._leases.get_turn(ref.session_id, ref.number)
            if active_turn is not None and active_turn.started:
                active_turn.cancel_scope.stop(StopMode.CANCEL)
            elif found.running:
                await self._store.request_stop(ref.session_id, ref.number, StopMode.CANCEL)
            else:
                result = await self._cancel_waiting(ref, found)
                if result is None:
                    continue
                return result
            return await TurnSubscription(ref, self._store, self._leases).result()

    def unsubscribe(self, subscription: TurnSubscription) -> None:
        """Ends a subscription, and its turn with it if that was not to outlive its last subscriber."""
        if subscription.close() and self._supervisor.running:
            self._supervisor.spawn(self._cancel_abandoned(subscription.ref))

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
        leased = self._leases.get(ref.session_id)
        if leased is not None:
            leased.finish(result)
        return result
