"""The port to whatever keeps sessions. One contract suite, tests/contract/stores, holds every store to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clawdbot.common.v1.message_pb2 import Message
from clawdbot.dialogue.v1.session_pb2 import Session
from clawdbot.dialogue.v1.turn_pb2 import Turn

from clawdbot_dialogue.core.sessions.records import (
    AcceptedTurn,
    Commit,
    CreatedSession,
    DeletionCounts,
    DeployedFlow,
    DueTimer,
    FoundTurn,
    InboxTurn,
    JournalEntry,
    Lease,
    LeaseRequest,
    NewSession,
    NewTurn,
    Page,
    PendingSession,
    SessionFilter,
    StopMode,
    TurnResult,
    TurnTask,
)


class SessionStore(Protocol):
    """Keeps sessions, their turns, journals and timers.

    A method that writes MUST be atomic, and MUST return only when what it wrote survives the process.
    A method that could not be carried out MUST raise StoreUnavailable and MUST have changed nothing.
    Methods that take a tenant MUST treat another tenant's session as one that is not there.
    Cancelling a method's caller leaves open whether it was carried out, never half of it.
    """

    @property
    def description(self) -> str:
        """Which store this is, for the banner: "SQLite, /path/to/file"."""

    async def open(self) -> None:
        """Makes ready. MUST raise StartupError for what an operator can mend."""

    async def close(self) -> None:
        """Frees everything. MUST be safe after a failed open, and twice."""

    async def check(self) -> None:
        """Returns when the store answers."""

    # Flows

    async def deploy_flow(self, name: str, version: int, source: str, now: float) -> DeployedFlow:
        """Keeps a version of a flow for good; the same source again MUST return what is kept.

        Raises:
            FlowExists: the version is kept with another source.
        """

    async def deployed_flows(self, after: int) -> tuple[DeployedFlow, ...]:
        """The flows with a number beyond `after`, in its order.

        What any process deployed MUST be there once its deploy_flow returned, and a flow MUST NOT come
        after one with a higher number was seen.
        """

    # Sessions

    async def create_session(self, new: NewSession, bid: LeaseRequest) -> CreatedSession:
        """Adds a session with its opening turn.

        A request_id that made a session for the tenant before MUST return that one, if the digests are equal.
        An opening that is a NewTurn MUST be claimed for the bidder.

        Raises:
            RequestIdReused: the request_id made another session.
        """

    async def get_session(self, tenant: str, session_id: str) -> Session:
        """The session as of its last commit.

        A session that cannot be read MUST be returned with what can be told and status QUARANTINED.

        Raises:
            SessionNotFound: there is none.
        """

    async def list_sessions(
        self, tenant: str, wanted: SessionFilter, size: int, before: int | None
    ) -> Page[Session]:
        """At most `size` sessions, newest first, from a page's `next` on.

        A session that cannot be read MUST not hide others.
        """

    async def delete_session(
        self, tenant: str, session_id: str, request_id: str, now: float
    ) -> DeletionCounts:
        """Erases a session with its turns, journal and timers, whoever holds a claim on it.

        The same request_id (not empty) within a day MUST return the same answer again.

        Raises:
            SessionNotFound: there is none.
        """

    async def quarantine(self, session_id: str, explanation: str, now: float) -> None:
        """Sets a session's status to QUARANTINED and fails its unfinished turns with SESSION_QUARANTINED.

        What is stored of it MUST be kept as it is. Its claim is void, its timers are gone.
        """

    # Turns

    async def accept_turn(self, new: NewTurn, bid: LeaseRequest, now: float) -> AcceptedTurn:
        """Puts an input in the session's inbox, in one total order per session.

        A request_id (not empty) that names a turn already MUST return that turn. Otherwise, when nobody has a
        claim that is still good, the bidder MUST get one, with the earliest unfinished turn as work. A claim
        of the bidder's own MUST count as good whatever the clock says: it is at work, and clocks are set.
        INTERRUPT and ROLLBACK MUST ask the earliest unfinished turn to stop.

        Raises:
            SessionNotFound: there is no such session.
            RequestIdReused: the request_id names a turn with another digest.
            SessionEnded, SessionQuarantined: it takes no turns any more.
            SessionBusy: REJECT, and a turn is unfinished.
            InboxFull: new.limit turns are unfinished already.
        """

    async def find_turn(
        self, tenant: str, session_id: str, *, number: int = 0, request_id: str = ""
    ) -> FoundTurn:
        """A turn by its number or by the caller's name for it.

        Raises:
            SessionNotFound, TurnNotFound: there is none.
        """

    async def get_explanation(self, tenant: str, session_id: str, number: int) -> bytes:
        """What `Finished.explanation` of a turn was.

        Raises:
            SessionNotFound, TurnNotFound: there is none, or it has not finished.
        """

    async def list_turns(
        self, tenant: str, session_id: str, size: int, after: int | None, *, newest_first: bool = False
    ) -> Page[Turn]:
        """At most `size` turns, oldest or newest first, from a page's `next` on; unfinished ones as they are.

        A page's `next` is for the order that it came in.

        Raises:
            SessionNotFound: there is none.
        """

    async def recent_messages(self, session_id: str, limit: int) -> tuple[Message, ...]:
        """The end of the transcript, oldest first: whole turns, at least one, at most `limit` messages."""

    async def request_stop(self, session_id: str, number: int, stop: StopMode) -> None:
        """Leaves word for whoever does an unfinished turn; nothing where it is finished or gone."""

    async def stop_requests(self) -> tuple[tuple[str, int, StopMode], ...]:
        """Session, number and manner for each unfinished turn that was asked to stop."""

    async def finish_waiting(self, finished: TurnResult) -> bool:
        """Ends a turn that nobody has begun. False, and nothing done, when it is begun, finished or gone."""

    # Claims

    async def acquire_lease(self, seen: PendingSession, bid: LeaseRequest) -> TurnTask | None:
        """Takes a session over whose claim is as it was seen; None when it is not, or no turn is left.

        Raises:
            SessionQuarantined: it cannot be read.
        """

    async def renew_leases(self, claims: Sequence[Lease], until: float) -> tuple[Lease, ...]:
        """Extends claims, and returns those that are lost."""

    async def release_leases(self, claims: Sequence[Lease]) -> None:
        """Lets claims go at once, their turns undone. Lost ones are no matter."""

    async def pending_sessions(self) -> tuple[PendingSession, ...]:
        """Every session with unfinished turns, whoever holds it."""

    async def commit(self, commit: Commit) -> InboxTurn | None:
        """Writes a turn's end: session, transcript, events, result, timers and journal, all or nothing.

        When more turns wait the claim MUST go on to the next one, which is returned; else it MUST be let go.

        Raises:
            StaleClaim: the token or the revision is not the session's, or it is gone.
        """

    # The journal

    async def write_journal(self, claim: Lease, entries: Sequence[JournalEntry]) -> None:
        """Adds entries, or replaces those with the same number and key.

        Raises:
            StaleClaim: the token is not the session's, or it is gone.
        """

    async def read_journal(self, session_id: str) -> tuple[JournalEntry, ...]:
        """All entries of a session that are kept, oldest turn first."""

    # Timers

    async def due_timers(self, now: float, limit: int) -> tuple[tuple[DueTimer, ...], float | None]:
        """Timers due by now, earliest first, and when the next one after those is due."""

    async def fire_timer(
        self, timer: DueTimer, new: NewTurn, bid: LeaseRequest, now: float
    ) -> AcceptedTurn | None:
        """Turns a timer into a turn, as accept_turn would; None when it is not set any more."""
