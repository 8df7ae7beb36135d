"""The sessions that this process leases, each with its turns that run or wait here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from clawdbot_dialogue.core.errors import DialogueError, TurnMoved
from clawdbot_dialogue.core.sessions.lease_owners import LeaseOwners
from clawdbot_dialogue.core.sessions.records import Lease, LeaseRequest, StopMode, TurnResult, TurnTask
from clawdbot_dialogue.core.turns.active_turn import ActiveTurn


class LeasedSession:
    """A session whose lease this process holds, and its turns from their acceptance to their end."""

    def __init__(self, task: TurnTask) -> None:
        self.lease = task.lease
        self.turns: dict[int, ActiveTurn] = {}
        """By number: the turn that runs, and those that wait and have subscribers here."""
        self._last_finished = task.inbox_turn.turn.number - 1

    def follow(self, number: int) -> ActiveTurn | None:
        """Returns a turn for a subscriber; None if it is over."""
        return self._open(number) if number > self._last_finished else None

    def start(self, number: int) -> ActiveTurn:
        """Returns the turn for an attempt at it."""
        turn = self._open(number)
        turn.started = True
        return turn

    def _open(self, number: int) -> ActiveTurn:
        turn = self.turns.get(number)
        if turn is None:
            turn = self.turns[number] = ActiveTurn(self.lease.session_id, number)
        return turn

    def finish(self, result: TurnResult) -> None:
        """Ends a turn that is committed."""
        turn = self.turns.pop(result.turn.number, None)
        if turn is not None:
            if turn.started:
                self._last_finished = turn.number
            turn.finish(result)

    def skip_to(self, next_number: int | None) -> None:
        """Sends subscribers of skipped turns to the store: another process has cancelled those turns."""
        for number in sorted(self.turns):
            if next_number is None or number < next_number:
                self.turns.pop(number).fail(TurnMoved(self.lease.session_id))

    def fail(self, error: DialogueError) -> None:
        """Ends the turns for this process: they fail, or another process runs them."""
        for number in sorted(self.turns):
            self.turns.pop(number).fail(error)

    def lose_lease(self) -> None:
        """Ends what runs, because the lease is lost."""
        for turn in list(self.turns.values()):
            turn.cancel_scope.lose_lease()

    def replace(self, earlier: LeasedSession) -> None:
        """Takes an earlier lease's waiting turns over; its attempt at the turn to be run now ends."""
        attempted = earlier.turns.get(self._last_finished + 1)
        if attempted is not None and attempted.started:
            del earlier.turns[attempted.number]
            attempted.cancel_scope.lose_lease()
            attempted.fail(TurnMoved(self.lease.session_id))
        for turn in list(earlier.turns.values()):
            if not turn.started:
                self.turns[turn.number] = earlier.turns.pop(turn.number)


class LeaseTable:
    """The leases of this process: the one place that knows which sessions and turns run here."""

    def __init__(self, lease_owners: LeaseOwners, clock: Callable[[], float], lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        """How long a lease lasts unless it is renewed."""
        self._lease_owners = lease_owners
        self._clock = clock
        self._sessions: dict[str, LeasedSession] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def held(self) -> list[Lease]:
        """The leases that this process holds, as far as it knows."""
        return [session.lease for session in self._sessions.values()]

    def new_expiry(self) -> float:
        """Returns when a lease expires that is granted or renewed now, in epoch seconds."""
        return self._clock() + self.lease_seconds

    def new_lease_request(self) -> LeaseRequest:
        """Returns a request for a lease that starts now."""
        return LeaseRequest(self._lease_owners.me, self.new_expiry())

    def add(self, task: TurnTask) -> LeasedSession:
        """Adds a session whose lease was granted with the task; this replaces an earlier lease of it."""
        session = LeasedSession(task)
        earlier = self._sessions.get(task.lease.session_id)
        if earlier is not None:
            session.replace(earlier)
        self._sessions[task.lease.session_id] = session
        self._empty.clear()
        return session

    def remove(self, session: LeasedSession) -> None:
        """Removes a session whose lease ended, unless a later lease has replaced it."""
        if self.get(session.lease.session_id) is session:
            del self._sessions[session.lease.session_id]
            if not self._sessions:
                self._empty.set()

    def get(self, session_id: str) -> LeasedSession | None:
        """Returns the session, if this process holds its lease."""
        return self._sessions.get(session_id)

    def get_turn(self, session_id: str, number: int) -> ActiveTurn | None:
        """Returns a turn, if it runs here, or waits and has subscribers here."""
        session = self._sessions.get(session_id)
        return None if session is None else session.turns.get(number)

    def lose(self, lease: Lease) -> None:
        """Ends what runs under a lost lease."""
        session = self._sessions.get(lease.session_id)
        if session is not None and session.lease == lease:
            session.lose_lease()

    def stop_turn(self, session_id: str, number: int, mode: StopMode) -> None:
        """Ends a turn of this process; does nothing for any other turn."""
        turn = self.get_turn(session_id, number)
        if turn is not None:
            turn.cancel_scope.stop(mode)

    async def wait_until_empty(self) -> None:
        """Waits until no session is leased."""
        await self._empty.wait()
