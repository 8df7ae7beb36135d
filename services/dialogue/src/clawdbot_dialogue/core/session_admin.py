"""What callers do with sessions, except turns: create, read, list, delete and export them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from clawdbot.dialogue.v1.explanation_pb2 import Explanation
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.pagination import MAX_PAGE_SIZE
from google.protobuf.json_format import MessageToJson

from clawdbot_dialogue.core.errors import TurnNotFound, UnknownFlow
from clawdbot_dialogue.core.flow.flow_registry import FlowRegistry
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError, validate_slots
from clawdbot_dialogue.core.machine.snapshot import Snapshot
from clawdbot_dialogue.core.machine.step import begin
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.sessions.ids import new_session_id
from clawdbot_dialogue.core.sessions.records import (
    DeletionCounts,
    NewSession,
    Page,
    SessionFilter,
    TurnResult,
)
from clawdbot_dialogue.core.sessions.store import FlowsOutdated, SessionStore
from clawdbot_dialogue.core.sessions.view import to_timestamp
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.inputs import SESSION_STARTED
from clawdbot_dialogue.core.turns.opening_turn import SessionStart, run_opening


@dataclass(frozen=True, slots=True)
class CreateSession:
    """A request to create a session."""

    tenant: str
    flow: str
    flow_version: int = 0
    """0 for the newest."""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, object] = field(default_factory=dict)
    locale: str = ""
    """BCP 47; empty for the flow's default."""
    request_id: str = ""
    digest: bytes = b""
    """Of the request: tells a retry from another request with the same request_id. Empty without one."""


class SessionAdmin:
    """Sessions for callers; the engine runs their turns."""

    def __init__(
        self,
        *,
        store: SessionStore,
        flows: FlowRegistry,
        engine: TurnEngine,
        clock: Callable[[], float],
        time_zone: tzinfo | None,
        deployments: Deployments,
    ) -> None:
        self._store = store
        self._flows = flows
        self._engine = engine
        self._clock = clock
        self._time_zone = time_zone
        self._deployments = deployments

    async def create(self, request: CreateSession) -> tuple[Session, Turn | None]:
        """Creates a session; returns it with its opening turn, None if the flow says nothing first.

        Raises:
            UnknownFlow: there is no such flow.
            InvalidRequest: a slot has a value that its flow does not accept.
            RequestIdReused: the request_id created another session.
            StoreUnavailable: nothing was created.
        """
        while True:
            newest = self._deployments.newest
            try:
                new, snapshot = self._new_session(request, newest)
                created = await self._store.create_session(new, self._engine.new_lease_request())
                break
            except (UnknownFlow, InvalidRequest, FlowsOutdated):
                # With what other processes deployed meanwhile it may be otherwise.
                await self._deployments.refresh()
                if self._deployments.newest == newest:
                    raise
        if created.task is not None:
            self._engine.start_task(created.task)
        elif not created.existed:
            self._engine.on_session_created(new, snapshot)
            return new.session, new.opening.turn if isinstance(new.opening, TurnResult) else None
        return await self._after_opening(created.session)

    def _new_session(self, request: CreateSession, newest_flow: int) -> tuple[NewSession, Snapshot]:
        """The session to store, from the flows that are loaded, and its snapshot."""
        flow = self._deployments.loaded(request.flow, request.flow_version)
        now = self._clock()
        session = Session(
            id=new_session_id(),
            tenant=request.tenant,
            user=request.user,
            flow=flow.name,
            flow_version=flow.version,
            labels=request.labels,
            create_time=to_timestamp(now),
            update_time=to_timestamp(now),
        )
        snapshot = begin(flow, self._slots(flow, request), request.locale)
        start = SessionStart(session, snapshot, request.request_id, request.digest, newest_flow, now)
        return run_opening(self._flows.get, start)

    async def get(self, tenant: str, session_id: str) -> Session:
        """Returns the session as of its last commit. Raises SessionNotFound."""
        return await self._store.get_session(tenant, session_id)

    async def list(
        self, tenant: str, session_filter: SessionFilter, size: int, before: int | None
    ) -> Page[Session]:
        """Returns a page of the tenant's sessions, newest first."""
        return await self._store.list_sessions(tenant, session_filter, size, before)

    async def list_turns(
        self, tenant: str, session_id: str, size: int, after: int | None, *, newest_first: bool
    ) -> Page[Turn]:
        """Returns a page of a session's turns. Raises SessionNotFound."""
        return await self._store.list_turns(tenant, session_id, size, after, newest_first=newest_first)

    async def explain_turn(self, tenant: str, session_id: str, number: int) -> Explanation:
        """Returns why a finished turn went the way it went.

        Raises:
            SessionNotFound: the tenant has no such session.
            TurnNotFound: the session has no such turn, or it is unfinished.
        """
        return Explanation.FromString(await self._store.get_explanation(tenant, session_id, number))

    async def delete(self, tenant: str, session_id: str, request_id: str) -> DeletionCounts:
        """Deletes a session, even while a turn runs. Raises SessionNotFound."""
        counts = await self._store.delete_session(tenant, session_id, request_id, self._clock())
        self._engine.abandon_session(session_id)
        return counts

    async def export(self, tenant: str, session_id: str) -> AsyncGenerator[bytes, None]:
        """Yields the session and then its turns, each as a line of JSON. Raises SessionNotFound."""
        yield _json_line(await self._store.get_session(tenant, session_id))
        after: int | None = 0
        while after is not None:
            page = await self._store.list_turns(tenant, session_id, MAX_PAGE_SIZE, after or None)
            for turn in page.items:
                yield _json_line(turn)
            after = page.next

    def _slots(self, flow: Flow, request: CreateSession) -> dict[str, object]:
        now = datetime.fromtimestamp(self._clock(), UTC).astimezone(self._time_zone)
        try:
            localized = flow.in_language(flow.resolve_language(request.locale))
            return validate_slots(localized, request.slots, now)
        except SlotValidationError as error:
            raise InvalidRequest(error.violations) from None

    async def _after_opening(self, session: Session) -> tuple[Session, Turn | None]:
        """The session as its opening turn left it, and that turn: the same answer for every retry."""
        try:
            found = await self._store.find_turn(session.tenant, session.id, number=1)
        except TurnNotFound:
            return session, None
        if found.turn.input_event.name != SESSION_STARTED:
            return session, None
        result = found.result or await self._engine.subscribe(session.tenant, session.id, 1).result()
        return result.session, result.turn


def _json_line(message: Session | Turn) -> bytes:
    return (MessageToJson(message, indent=None, ensure_ascii=False) + "\n").encode()
