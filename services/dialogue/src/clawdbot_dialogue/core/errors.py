"""The errors of sessions, turns and flows, as exceptions that know no transport.

DialogueError
├── SessionNotFound         no such session, or another tenant's
├── TurnNotFound            the session has no such turn
├── UnknownFlow             no such flow, or not in that version
├── FlowRejected            the source of a flow has errors
├── FlowTooCostly           the source of a flow takes too much to check
├── FlowExists              the version is deployed with another source
├── SessionEnded            the flow has reached its end
├── SessionBusy             a turn is unfinished, and the caller did not want to wait
├── SessionQuarantined      what is stored of the session cannot be read
├── RequestIdReused         the request_id was used for another request
├── InboxFull               too many turns of the session are unfinished
├── LeaseLost               another process holds the session's lease by now
├── TurnMoved               another process goes on with the turn
└── StoreUnavailable        the store does not answer, or cannot write
"""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot_servicekit.errors import FieldViolation


class DialogueError(Exception):
    """An error that the dialogue service's error table maps to a status."""


class SessionNotFound(DialogueError):
    """The tenant has no such session."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(session_id)


class TurnNotFound(DialogueError):
    """The session has no such turn."""

    def __init__(self, session_id: str, turn: str) -> None:
        self.session_id = session_id
        self.turn = turn
        super().__init__(f"{turn} in {session_id}")


class UnknownFlow(DialogueError):
    """There is no such flow, or it does not have that version."""

    def __init__(self, flow: str, hint: str = "") -> None:
        self.flow = flow
        """The name; with the version, if the caller asked for one."""
        self.hint = hint
        """Empty, or a space and a sentence."""
        super().__init__(flow)


class FlowRejected(DialogueError):
    """The source of a flow has errors; nothing was deployed."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        self.first = self.violations[0].description if self.violations else ""
        super().__init__(self.first)


class FlowTooCostly(DialogueError):
    """Checking the source of a flow needs more time or memory than is allowed; nothing was deployed."""

    def __init__(self, limit: str) -> None:
        self.limit = limit
        """For people: "10 seconds"."""
        super().__init__(limit)


class FlowExists(DialogueError):
    """The version of the flow is deployed with another source; nothing was deployed."""

    def __init__(self, flow: str, version: int) -> None:
        self.flow = flow
        self.version = version
        super().__init__(f"{flow} in version {version}")


class SessionEnded(DialogueError):
    """The session's flow has reached its end; nothing was accepted."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(session_id)


class SessionBusy(DialogueError):
    """A turn is unfinished and the caller asked for REJECT; nothing was accepted."""

    def __init__(self, session_id: str, retry_after: float = 1.0) -> None:
        self.session_id = session_id
        self.retry_after = retry_after
        super().__init__(session_id)


class SessionQuarantined(DialogueError):
    """What is stored of the session cannot be read. It is kept as it is, and takes no turns."""

    def __init__(self, session_id: str, explanation: str = "") -> None:
        self.session_id = session_id
        self.explanation = explanation
        super().__init__(f"{session_id}: {explanation}")


class RequestIdReused(DialogueError):
    """The request_id was used for another request before."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(request_id)


class InboxFull(DialogueError):
    """The session has as many unfinished turns as are allowed; nothing was accepted."""

    def __init__(self, session_id: str, limit: int, retry_after: float = 1.0) -> None:
        self.session_id = session_id
        self.limit = limit
        self.retry_after = retry_after
        self.quota_subject = f"session:{session_id}"
        super().__init__(f"{session_id}: {limit}")


class LeaseLost(DialogueError):
    """The lease is lost, or the session was changed or deleted since it was read; nothing was written."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(session_id)


class TurnMoved(DialogueError):
    """Another process took over the turn after this one had sent some of its events."""

    def __init__(self, turn_id: str, retry_after: float = 1.0) -> None:
        self.turn_id = turn_id
        self.retry_after = retry_after
        super().__init__(turn_id)


class StoreUnavailable(DialogueError):
    """The store cannot read or write now; nothing was changed."""

    def __init__(self, explanation: str, retry_after: float = 1.0) -> None:
        self.explanation = explanation
        self.retry_after = retry_after
        super().__init__(explanation)
