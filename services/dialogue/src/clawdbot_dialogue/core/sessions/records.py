"""What the turn engine and a session store pass to each other.

All records are frozen, and a receiver never changes the protobuf messages in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, Generic, Literal, TypeVar

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.dialogue_service_pb2 import StreamTurnResponse
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn
from msgspec import Struct

T = TypeVar("T")


class StopMode(IntEnum):
    """Whether a turn was asked to stop early, and how. Stores keep the numbers."""

    NONE = 0
    CANCEL = 1
    """What was said stays in the transcript."""
    ROLLBACK = 2
    """Nothing of the turn stays in the transcript."""


class ConcurrencyPolicy(IntEnum):
    """What an input does if the session has unfinished turns."""

    ENQUEUE = 1
    REJECT = 2
    INTERRUPT = 3
    ROLLBACK = 4


STOP_MODES: Final[Mapping[ConcurrencyPolicy, StopMode]] = {
    ConcurrencyPolicy.INTERRUPT: StopMode.CANCEL,
    ConcurrencyPolicy.ROLLBACK: StopMode.ROLLBACK,
}
"""How an input with this policy stops the earliest unfinished turn; with the others it does not."""


class LeaseRequest(Struct, frozen=True):
    """Who asks for a session's lease, and when it is to expire, in epoch seconds."""

    owner: str
    expires: float


class Lease(Struct, frozen=True):
    """The right to write one session. Each lease has a larger fencing token, and voids the ones before it."""

    session_id: str
    token: int


class TurnResult(Struct, frozen=True):
    """A finished turn and everything that was sent about it."""

    turn: Turn
    session: Session
    """As it was right after the turn."""
    events: tuple[StreamTurnResponse, ...]
    """All but the last, turn_finished, which is made from `turn` and `session`."""
    transcript: tuple[Message, ...] = ()
    """What the turn adds to what models are shown later. Empty in the result of find_turn."""
    explanation: bytes = b""
    """A serialised Explanation of the turn. Empty in the result of find_turn."""


class NewTurn(Struct, frozen=True):
    """An input to put in a session's inbox."""

    tenant: str
    session_id: str
    turn: Turn
    """Input or input_event, request_id and create_time; the store adds id, session_id, number and status."""
    digest: bytes
    """Of the input: tells a retry from another input with the same request_id. Empty without a request_id."""
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ENQUEUE
    cancel_on_disconnect: bool = False
    limit: int | None = None
    """How many turns of the session may be unfinished, this one included; None for no limit."""


class InboxTurn(Struct, frozen=True):
    """An accepted turn that is not finished."""

    turn: Turn
    """As accepted: id, session_id, number and input."""
    attempts: int = 1
    """How often the turn was started, this attempt included."""
    stop_mode: StopMode = StopMode.NONE
    cancel_on_disconnect: bool = False


class TurnTask(Struct, frozen=True):
    """A leased session and the turn to run next."""

    lease: Lease
    session: Session
    snapshot: str
    """The machine's snapshot as JSON."""
    inbox_turn: InboxTurn
    newest_flow: int = 0
    """Number of the flow that was deployed last; 0 if none was."""


class AcceptedTurn(Struct, frozen=True):
    """The outcome of putting an input in an inbox."""

    number: int
    joined: bool = False
    """True if the request_id named this turn before."""
    task: TurnTask | None = None
    """For the caller to run now: it got the session's lease. The turn may be an earlier one than this."""
    result: TurnResult | None = None
    """The turn, if it is finished already."""
    inbox: InboxTurn | None = None
    """The turn, if it is unfinished."""
    stopped_turn: int | None = None
    """Number of the turn that was asked to stop for this one."""


class NewSession(Struct, frozen=True):
    """A session to create."""

    session: Session
    """Complete."""
    snapshot: str
    request_id: str
    digest: bytes
    opening: TurnResult | NewTurn | None = None
    """The opening turn: finished, still to run, or none."""
    timers: Mapping[str, float] = {}
    """Timer id → when it is due, in epoch seconds."""
    newest_flow: int | None = None
    """Number of the deployed flow that the caller loaded last; None if later ones do not matter."""


class CreatedSession(Struct, frozen=True):
    """A session as created."""

    session: Session
    existed: bool = False
    """True if the request_id created it before."""
    task: TurnTask | None = None
    """The opening turn, for the caller to run now."""


class Commit(Struct, frozen=True):
    """Everything that a turn changes, to be written at once."""

    lease: Lease
    revision: int
    """The session's, as it was read; `result.session.revision` is one more."""
    result: TurnResult
    snapshot: str | None
    """None keeps the stored one."""
    set_timers: Mapping[str, float] = {}
    """Timer id → when it is due, in epoch seconds."""
    clear_timers: Sequence[str] | Literal["all"] = ()
    clear_journal: Sequence[str] | Literal["all"] = ()
    """Keys of the turn's journal entries that are no longer needed."""
    lease_expires: float = 0.0
    """Epoch seconds until which the lease is kept, if another turn waits."""


class JournalEntry(Struct, frozen=True):
    """One call to the outside that a turn made, and must not make again when it is run again."""

    number: int
    """The turn's."""
    key: str
    """Unique in the turn, and the same in every attempt: "c3", "g2/0" or "g2/0/1"."""
    digest: bytes = b""
    """Of tool and arguments: tells whether a repeated call is the same. Empty for a model's reply."""
    once: bool = False
    """Whether the tool has the effect `once`."""
    record: bytes = b""
    """Serialised: a ToolCallRecord, with its result once that is known; or a model's Message."""
    done: bool = False
    """Whether the outcome is in the record. A call that is not done may or may not have taken place."""


class FoundTurn(Struct, frozen=True):
    """A turn as stored."""

    turn: Turn
    result: TurnResult | None
    inbox: InboxTurn | None
    running: bool = False
    """True if a lease covers it."""


class PendingSession(Struct, frozen=True):
    """A session with unfinished turns, and the lease on it."""

    session_id: str
    token: int
    owner: str
    """Empty if nobody holds a lease."""
    expires: float


class DeployedFlow(Struct, frozen=True):
    """A deployed version of a flow."""

    number: int
    """Grows with every version that a store keeps."""
    name: str
    version: int
    source: str
    deploy_time: float
    """Epoch seconds."""


class DueTimer(Struct, frozen=True):
    """A timer that is due."""

    session_id: str
    tenant: str
    timer_id: str
    due: float
    """Epoch seconds."""


class DeletionCounts(Struct, frozen=True):
    """How much was deleted with a session."""

    turns: int
    tool_calls: int


class SessionFilter(Struct, frozen=True):
    """Which of a tenant's sessions to list; an empty field selects all."""

    user: str = ""
    flow: str = ""
    status: int = 0


class Page(Struct, Generic[T], frozen=True):
    """One page of a list."""

    items: tuple[T, ...]
    next: int | None
    """Where the next page begins; None on the last page."""
