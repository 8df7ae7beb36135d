"""Records of sessions and turns for tests, with defaults for what does not matter."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from clawdbot.common.v1.message_pb2 import ROLE_ASSISTANT, ROLE_USER, Message, Part
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ACTIVE, Session
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE, Turn, TurnStarted
from clawdbot_dialogue.core.sessions.ids import new_session_id
from clawdbot_dialogue.core.sessions.records import (
    Commit,
    ConcurrencyPolicy,
    InboxTurn,
    LeaseRequest,
    NewSession,
    NewTurn,
    TurnResult,
    TurnTask,
)

TENANT = "acme"
LEASE_REQUEST = LeaseRequest("worker-1", 130.0)
"""What most tests acquire leases with, at time 100."""


def message(text: str, role: Message.ROLE = ROLE_USER) -> Message:  # type: ignore[name-defined]
    return Message(role=role, parts=[Part(text=text)])


def new_session(
    *,
    tenant: str = TENANT,
    user: str = "",
    flow: str = "chat",
    request_id: str = "",
    digest: bytes = b"session",
    status: int = SESSION_STATUS_ACTIVE,
    opening: TurnResult | NewTurn | None = None,
    timers: Mapping[str, float] | None = None,
    session_id: str = "",
) -> NewSession:
    session = Session(
        id=session_id or new_session_id(),
        tenant=tenant,
        user=user,
        flow=flow,
        flow_version=1,
        state="start",
        status=status,
    )
    return NewSession(session, '{"state": "start"}', request_id, digest, opening, timers or {})


def new_turn(
    session: Session,
    text: str = "hello",
    *,
    request_id: str = "",
    tenant: str = "",
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ENQUEUE,
    limit: int | None = None,
    cancel_on_disconnect: bool = False,
) -> NewTurn:
    turn = Turn(request_id=request_id, input=message(text))
    turn.create_time.FromSeconds(100)
    digest = hashlib.sha256(text.encode()).digest()
    return NewTurn(
        tenant or session.tenant, session.id, turn, digest, concurrency, cancel_on_disconnect, limit
    )


def turn_result(
    turn: Turn,
    session: Session,
    *,
    reply: str = "hi",
    status: int = TURN_STATUS_DONE,
    revision: int | None = None,
    session_status: int = SESSION_STATUS_ACTIVE,
    messages: Sequence[Message] | None = None,
) -> TurnResult:
    done = Turn()
    done.CopyFrom(turn)
    done.status = status
    done.replies.append(message(reply, ROLE_ASSISTANT))
    after = Session()
    after.CopyFrom(session)
    after.revision = session.revision + 1 if revision is None else revision
    after.state = "later"
    after.status = session_status
    started = StreamTurnResponse(sequence=1, turn_started=TurnStarted(turn_id=done.id, session_id=session.id))
    transcript = (turn.input, *done.replies) if messages is None else tuple(messages)
    return TurnResult(done, after, (started,), transcript)


def commit(task: TurnTask, turn: InboxTurn | None = None, **changes) -> Commit:
    """The commit of a turn; takes the keyword arguments of `turn_result` and of Commit."""
    own = {key: changes.pop(key) for key in list(changes) if key in Commit.__struct_fields__}
    done = turn_result((turn or task.inbox_turn).turn, task.session, **changes)
    defaults = {"revision": task.session.revision, "snapshot": '{"state": "later"}', "clear_journal": "all"}
    return Commit(lease=task.lease, result=done, **{**defaults, **own})


async def stored_session(store, **changes):
    """Creates a session in the store."""
    return (await store.create_session(new_session(**changes), LEASE_REQUEST)).session


async def leased_task(store, text="hello", **changes):
    """Creates a session with one turn, leased with LEASE_REQUEST."""
    session = await stored_session(store)
    accepted = await store.accept_turn(new_turn(session, text, **changes), LEASE_REQUEST, now=100.0)
    assert accepted.task is not None
    return accepted.task
