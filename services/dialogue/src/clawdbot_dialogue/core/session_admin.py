"""Sessions for callers: opened, read, listed, deleted, told in full."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from clawdbot.dialogue.v1.explanation_pb2 import Explanation
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from clawdbot_servicekit.errors import InvalidRequest
from clawdbot_servicekit.paging import MAX_PAGE_SIZE
from google.protobuf.json_format import MessageToJson

from clawdbot_dialogue.core.errors import TurnNotFound, UnknownFlow
from clawdbot_dialogue.core.flow.diagnostics import nearest
from clawdbot_dialogue.core.flow.flow_registry import FlowLibrary, FlowNotFound
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.slots.validation import SlotInvalid, validate_slots
from clawdbot_dialogue.core.machine.step import begin
from clawdbot_dialogue.core.sessions.deployments import Deployments
from clawdbot_dialogue.core.sessions.ids import new_session_id
from clawdbot_dialogue.core.sessions.records import DeletionCounts, Page, SessionFilter, TurnResult
from clawdbot_dialogue.core.sessions.store import SessionStore
from clawdbot_dialogue.core.sessions.view import to_timestamp
from clawdbot_dialogue.core.turns.engine import TurnEngine
from clawdbot_dialogue.core.turns.inputs import SESSION_STARTED
from clawdbot_dialogue.core.turns.opening_turn import SessionStart, run_opening


@dataclass(frozen=True, slots=True)
class CreateSession:
    """A conversation that a caller wants to open."""

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
    """Of the whole wish: tells a retry from another one under the same request_id."""


class SessionAdmin:
    """What callers do with sessions, besides turns."""

    def __init__(
        self,
        *,
        store: SessionStore,
        flows: FlowLibrary,
        engine: TurnEngine,
        clock: Callable[[], float],
        zone: tzinfo | None,
        deployments: Deployments,
    ) -> None:
        self._store = store
        self._flows = flows
        self._engine = engine
        self._clock = clock
        self._zone = zone
        self._deployments = deployments

    async def create(self, wish: CreateSession) -> tuple[Session, Turn | None]:
        """Opens a session; returns it with what its flow did before anybody spoke.

        Raises:
            FlowUnknown: there is no such flow.
            InvalidRequest: a slot does not fit.
            RequestIdReused: the request_id opened another session.
            StoreUnavailable: nothing was opened.
        """
        await self._deployments.refresh()
        flow, now = self._flow(wish), self._clock()
        session = Session(
            id=new_session_id(),
            tenant=wish.tenant,
            user=wish.user,
            flow=flow.name,
            flow_version=flow.version,
            labels=wish.labels,
            create_time=to_timestamp(now),
            update_time=to_timestamp(now),
        )
        beginning = SessionStart(
            session, begin(flow, self._slots(flow, wish), wish.locale), wish.request_id, wish.digest, now
        )
        new = run_opening(self._flows.get, beginning)
        created = await self._store.create_session(new, self._engine.new_lease_request())
        if created.task is not None:
            self._engine.start_task(created.task)
        elif not created.existed:
            self._engine.on_timers_set(new.timers)
            return new.session, new.opening.turn if isinstance(new.opening, TurnResult) else None
        return await self._as_opened(created.session)

    async def get(self, tenant: str, session_id: str) -> Session:
        """The session as of its last commit. SessionNotFound where there is none."""
        return await self._store.get_session(tenant, session_id)

    async def list(self, tenant: str, wanted: SessionFilter, size: int, before: int | None) -> Page[Session]:
        """A page of the tenant's sessions, newest first."""
        return await self._store.list_sessions(tenant, wanted, size, before)

    async def list_turns(
        self, tenant: str, session_id: str, size: int, after: int | None, *, newest_first: bool
    ) -> Page[Turn]:
        """A page of a session's turns. SessionNotFound where there is no session."""
        return await self._store.list_turns(tenant, session_id, size, after, newest_first=newest_first)

    async def explain_turn(self, tenant: str, session_id: str, number: int) -> Explanation:
        """Why a finished turn went the way it went.

        Raises:
            SessionNotFound, TurnNotFound: there is none, or it has not finished.
        """
        return Explanation.FromString(await self._store.get_explanation(tenant, session_id, number))

    async def delete(self, tenant: str, session_id: str, request_id: str) -> DeletionCounts:
        """Erases a session, whatever it is at. SessionNotFound where there is none."""
        erased = await self._store.delete_session(tenant, session_id, request_id, self._clock())
        self._engine.abandon_session(session_id)
        return erased

    async def export(self, tenant: str, session_id: str) -> AsyncGenerator[bytes, None]:
        """The session and then its turns, each as a line of JSON. SessionNotFound where there is none."""
        yield _line(await self._store.get_session(tenant, session_id))
        after: int | None = 0
        while after is not None:
            page = await self._store.list_turns(tenant, session_id, MAX_PAGE_SIZE, after or None)
            for turn in page.items:
                yield _line(turn)
            after = page.next

    def _flow(self, wish: CreateSession) -> Flow:
        try:
            return self._flows.get(wish.flow, wish.flow_version or None)
        except FlowNotFound as missing:
            raise flow_unknown(missing, self._flows) from None

    def _slots(self, flow: Flow, wish: CreateSession) -> dict[str, object]:
        now = datetime.fromtimestamp(self._clock(), UTC).astimezone(self._zone)
        try:
            spoken = flow.spoken(flow.language(wish.locale))
            return validate_slots(spoken, wish.slots, now)
        except SlotInvalid as invalid:
            raise InvalidRequest(invalid.violations) from None

    async def _as_opened(self, session: Session) -> tuple[Session, Turn | None]:
        """The session as its opening left it, and the opening: the same however often it is asked for."""
        try:
            found = await self._store.find_turn(session.tenant, session.id, number=1)
        except TurnNotFound:
            return session, None
        if found.turn.input_event.name != SESSION_STARTED:
            return session, None
        finished = found.result or await self._engine.subscribe(session.tenant, session.id, 1).result()
        return finished.session, finished.turn


def flow_unknown(missing: FlowNotFound, flows: FlowLibrary) -> UnknownFlow:
    """The failure for callers, with the name that they may have meant."""
    names = [flow.name for flow in flows.list()]
    hint = "" if missing.name in names else f" {nearest(missing.name, names)}"
    return UnknownFlow(missing.flow, hint)


def _line(message: Session | Turn) -> bytes:
    return (MessageToJson(message, indent=None, ensure_ascii=False) + "\n").encode()
