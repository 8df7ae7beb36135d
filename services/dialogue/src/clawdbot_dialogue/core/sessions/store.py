"""The port to a session store. One contract suite, tests/contract/stores, holds every store to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

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

DELETION_RETRY_SECONDS: Final = 86_400.0
"""How long a store answers a retried deletion as it answered the first one: a day."""


class FlowsOutdated(Exception):
    """A flow was deployed that the caller has not loaded; nothing was created."""


class SessionStore(Protocol):
    """Keeps sessions, their turns, journals and timers, and the deployed flows.

    A method that writes MUST be atomic, and MUST return only when what it wrote survives the process.
    A method that cannot be carried out MUST raise StoreUnavailable and MUST NOT have changed anything.
    A method that takes a tenant MUST treat another tenant's session as one that does not exist.
    If the caller of a method is cancelled, the method is carried out whole or not at all.
    """

    @property
    def description(self) -> str:
        """Which store this is, for the banner: "SQLite, /path/to/file"."""

    async def open(self) -> None:
        """Opens the store. MUST raise StartupError for what an operator can fix."""

    async def close(self) -> None:
        """Frees everything. MUST be safe after a failed open, and when called twice."""

    async def check(self) -> None:
        """Returns if the store can be read and written now."""

    # Flows

    async def deploy_flow(self, name: str, version: int, source: str, now: float) -> DeployedFlow:
        """Stores a version of a flow. If the same source is stored already, MUST return that one.

        Raises:
            FlowExists: the version is stored with another source.
        """

    async def deployed_flows(self, after: int) -> tuple[DeployedFlow, ...]:
        """Returns the flows with a number greater than `after`, in the order of their numbers.

        A flow MUST be visible once its deploy_flow returned, in any process, and a flow MUST NOT appear after
        one with a higher number was returned.
        """

    # Sessions

    async def create_session(self, new: NewSession, lease_request: LeaseRequest) -> CreatedSession:
        """Creates a session with its opening turn.

        If the request_id created a session for the tenant before and the digests are equal, MUST return that
        session. If the opening is a NewTurn, MUST lease the session to the caller.

        Raises:
            RequestIdReused: the request_id created a session with another digest.
            FlowsOutdated: a flow with a greater number than `new.newest_flow` is deployed.
        """

    async def get_session(self, tenant: str, session_id: str) -> Session:
        """Returns the session as of its last commit.

        A session that cannot be read MUST be returned with what is known of it, in status QUARANTINED.

        Raises:
            SessionNotFound: the tenant has no such session.
        """

    async def list_sessions(
        self, tenant: str, session_filter: SessionFilter, size: int, before: int | None
    ) -> Page[Session]:
        """Returns at most `size` sessions, newest first, from a page's `next` on.

        A session that cannot be read MUST NOT hide others.
        """

    async def existing_sessions(self, session_ids: Collection[str]) -> frozenset[str]:
        """Returns those of the ids that a session has, of any tenant."""

    async def delete_session(
        self, tenant: str, session_id: str, request_id: str, now: float
    ) -> DeletionCounts:
        """Deletes a session with its turns, journal and timers, whoever holds its lease.

        The same request_id (not empty) within DELETION_RETRY_SECONDS MUST return the same counts again.

        Raises:
            SessionNotFound: the tenant has no such session.
        """

    async def quarantine(self, session_id: str, explanation: str, now: float) -> None:
        """Sets a session's status to QUARANTINED and fails its unfinished turns with SESSION_QUARANTINED.

        What is stored of it MUST be kept as it is. Its lease is void and its timers are deleted.
        """

    # Turns

    async def accept_turn(self, new: NewTurn, lease_request: LeaseRequest, now: float) -> AcceptedTurn:
        """Puts an input in the session's inbox. The turns of a session have one total order.

        If the request_id (not empty) names a turn, MUST return that turn. Otherwise, if no unexpired lease is
        held, MUST grant one to the caller, with the earliest unfinished turn as its task. A lease that the
        caller itself holds MUST count as unexpired: the caller is running turns, and clocks are set.
        INTERRUPT and ROLLBACK MUST ask the earliest unfinished turn to stop.

        Raises:
            SessionNotFound: the tenant has no such session.
            RequestIdReused: the request_id names a turn with another digest.
            SessionEnded, SessionQuarantined: the session takes no more turns.
            SessionBusy: the policy is REJECT and a turn is unfinished.
            InboxFull: new.limit turns are unfinished already.
        """

    async def find_turn(
        self, tenant: str, session_id: str, *, number: int = 0, request_id: str = ""
    ) -> FoundTurn:
        """Returns a turn by its number or by its request_id.

        Raises:
            SessionNotFound: the tenant has no such session.
            TurnNotFound: the session has no such turn.
        """

    async def get_explanation(self, tenant: str, session_id: str, number: int) -> bytes:
        """Returns `TurnResult.explanation` of a finished turn.

        Raises:
            SessionNotFound: the tenant has no such session.
            TurnNotFound: the session has no such turn, or it is unfinished.
        """

    async def list_turns(
        self, tenant: str, session_id: str, size: int, after: int | None, *, newest_first: bool = False
    ) -> Page[Turn]:
        """Returns at most `size` turns from a page's `next` on, oldest or newest first, unfinished ones too.

        A page's `next` is valid for the order of that page only.

        Raises:
            SessionNotFound: the tenant has no such session.
        """

    async def recent_transcripts(self, session_id: str, limit: int) -> tuple[tuple[Message, ...], ...]:
        """Returns the transcripts of the last turns that have one, oldest first.

        They are as many as have at most `limit` messages together, but at least one.
        """

    async def request_stop(self, session_id: str, number: int, mode: StopMode) -> None:
        """Asks the process that runs an unfinished turn to stop it. Does nothing for any other turn."""

    async def stop_requests(self) -> tuple[tuple[str, int, StopMode], ...]:
        """Returns session id, turn number and stop mode of each unfinished turn that was asked to stop."""

    async def finish_waiting(self, result: TurnResult) -> bool:
        """Finishes a turn that nobody runs. Returns False, and does nothing, for any other turn."""

    # Leases

    async def acquire_lease(self, pending: PendingSession, lease_request: LeaseRequest) -> TurnTask | None:
        """Leases a session whose lease is still as in `pending`; None if it is not, or no turn is unfinished.

        Raises:
            SessionQuarantined: the session cannot be read.
        """

    async def renew_leases(self, leases: Sequence[Lease], expires: float) -> tuple[Lease, ...]:
        """Sets the expiry of leases, and returns those that are lost."""

    async def release_leases(self, leases: Sequence[Lease]) -> None:
        """Ends leases now; their turns stay unfinished. Leases that are lost are ignored."""

    async def pending_sessions(self) -> tuple[PendingSession, ...]:
        """Returns every session with unfinished turns, whoever holds its lease."""

    async def commit(self, commit: Commit) -> InboxTurn | None:
        """Writes the end of a turn: session, transcript, events, result, timers and journal, all or nothing.

        If more turns wait, the lease MUST pass to the next one, which is returned. Otherwise it MUST end.

        Raises:
            LeaseLost: token or revision differ from the session's, or the session is deleted.
        """

    # Journal

    async def write_journal(self, lease: Lease, entries: Sequence[JournalEntry]) -> None:
        """Adds entries, or replaces those with the same number and key.

        Raises:
            LeaseLost: the token differs from the session's, or the session is deleted.
        """

    async def read_journal(self, session_id: str) -> tuple[JournalEntry, ...]:
        """Returns all entries of a session, oldest turn first."""

    # Timers

    async def due_timers(self, now: float, limit: int) -> tuple[tuple[DueTimer, ...], float | None]:
        """Returns the timers due by now, earliest first, and when the next one after those is due."""

    async def fire_timer(
        self, timer: DueTimer, new: NewTurn, lease_request: LeaseRequest, now: float
    ) -> AcceptedTurn | None:
        """Turns a timer into a turn, as accept_turn does; None if the timer is no longer set."""
