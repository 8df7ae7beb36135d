"""What the engine and a store hand each other: frozen, the messages in them never changed by the taker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Generic, Literal, TypeVar

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from msgspec import Struct

T = TypeVar("T")


class StopMode(IntEnum):
    """Whether somebody wants a turn to end before its time; the numbers are stored."""

    NONE = 0
    CANCEL = 1
    """Keep what was said."""
    ROLLBACK = 2
    """As if it had never been."""


class ConcurrencyPolicy(IntEnum):
    """What an input does when the session has unfinished turns already."""

    ENQUEUE = 1
    REJECT = 2
    INTERRUPT = 3
    ROLLBACK = 4


class LeaseRequest(Struct, frozen=True):
    """Who wants a session, and until when in epoch seconds."""

    owner: str
    expires: float


class Lease(Struct, frozen=True):
    """The right to write one session. A later claim has a larger token, and this one is worth nothing."""

    session_id: str
    token: int


class TurnResult(Struct, frozen=True):
    """A turn that is over, and everything that was told about it."""

    turn: Turn
    session: Session
    """As it was right after the turn."""
    events: tuple[StreamTurnResponse, ...]
    """All but the last, turn_finished, which is made of `turn` and `session`."""
    transcript: tuple[Message, ...] = ()
    """What the turn adds to what a model is shown later. Empty when read back by find_turn."""
    explanation: bytes = b""
    """Why it went that way: a serialised Explanation. Empty when read back by find_turn."""


class NewTurn(Struct, frozen=True):
    """An input on its way into a session's inbox."""

    tenant: str
    session_id: str
    turn: Turn
    """Input or input_event, request_id and create_time; the store adds id, session_id, number and status."""
    digest: bytes
    """Of the input: tells a retry from another input under the same request_id; empty where it has none."""
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ENQUEUE
    cancel_on_disconnect: bool = False
    limit: int | None = None
    """The most turns that may be unfinished, this one counted; None for no limit."""


class InboxTurn(Struct, frozen=True):
    """A turn that is accepted and not finished."""

    turn: Turn
    """As accepted: id, session_id, number and input."""
    attempts: int = 1
    """How often somebody has begun it, this time counted."""
    stop_mode: StopMode = StopMode.NONE
    cancel_on_disconnect: bool = False


class TurnTask(Struct, frozen=True):
    """A claimed session with the turn to do next."""

    lease: Lease
    session: Session
    snapshot: str
    """JSON; the machine's."""
    inbox_turn: InboxTurn


class AcceptedTurn(Struct, frozen=True):
    """What became of an input."""

    number: int
    joined: bool = False
    """True when the request_id had named this turn before."""
    task: TurnTask | None = None
    """For the caller to do at once: its bid for the session won. `next` may be an earlier turn."""
    result: TurnResult | None = None
    """The turn, when it is over already."""
    inbox: InboxTurn | None = None
    """The turn, while it is not."""
    stopped_turn: int | None = None
    """Number of the turn that was asked to stop for this one."""


class NewSession(Struct, frozen=True):
    """A session about to be."""

    session: Session
    """Complete."""
    snapshot: str
    request_id: str
    digest: bytes
    opening: TurnResult | NewTurn | None = None
    """What the flow does of its own accord: done already, to be done as a turn, or nothing."""
    timers: Mapping[str, float] = {}


class CreatedSession(Struct, frozen=True):
    """A session that is."""

    session: Session
    existed: bool = False
    """True when the request_id had made it before."""
    task: TurnTask | None = None
    """The opening turn, to be done at once by the bidder."""


class Commit(Struct, frozen=True):
    """Everything that a turn changes, at once."""

    lease: Lease
    revision: int
    """The session's, as it was read; `finished.session.revision` is one more."""
    result: TurnResult
    snapshot: str | None
    """None leaves it as it is."""
    set_timers: Mapping[str, float] = {}
    """Timer id → when it is due, in epoch seconds."""
    clear_timers: Sequence[str] | Literal["all"] = ()
    clear_journal: Sequence[str] | Literal["all"] = ()
    """Keys of the turn's journal entries that are no longer needed."""
    lease_expires: float = 0.0
    """When the claim runs out that is kept for the next turn."""


class JournalEntry(Struct, frozen=True):
    """One thing that a turn did outside and must not do again when it is run again."""

    number: int
    """The turn's."""
    key: str
    """Unique in the turn and the same whenever it is run again: "c3", "g2/0" or "g2/0/1"."""
    digest: bytes = b""
    """Of tool and arguments: tells whether a repeated call is the same."""
    once: bool = False
    record: bytes = b""
    """Serialised: a ToolCallRecord, with its result once that is known; or a model's Message."""
    done: bool = False
    """Whether the outcome is in the record. A call begun and not done may or may not have taken place."""


class FoundTurn(Struct, frozen=True):
    """A turn as stored."""

    turn: Turn
    result: TurnResult | None
    inbox: InboxTurn | None
    running: bool = False
    """True when somebody's claim covers it."""


class PendingSession(Struct, frozen=True):
    """A session with turns to do, and who is meant to do them."""

    session_id: str
    token: int
    owner: str
    expires: float


class DeployedFlow(Struct, frozen=True):
    """A version of a flow that was deployed."""

    number: int
    """Grows with every version that a store keeps."""
    name: str
    version: int
    source: str
    deploy_time: float
    """Epoch seconds."""


class DueTimer(Struct, frozen=True):
    """A timer whose time has come."""

    session_id: str
    tenant: str
    timer_id: str
    due: float


class DeletionCounts(Struct, frozen=True):
    """How much a deletion took away."""

    turns: int
    tool_calls: int


class SessionFilter(Struct, frozen=True):
    """Which of a tenant's sessions to list; empty fields take all."""

    user: str = ""
    flow: str = ""
    status: int = 0


class Page(Struct, Generic[T], frozen=True):
    """A piece of a list."""

    items: tuple[T, ...]
    next: int | None
    """Where the next page begins; None at the end."""
