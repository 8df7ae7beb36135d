"""What can go wrong with sessions and turns, as exceptions that know no transport.

DialogueFault
├── SessionNotFound         no such session, or another tenant's
├── TurnNotFound            no such turn in this session
├── FlowUnknown             no such flow, or not in that version
├── FlowRejected            a source that is no usable flow
├── FlowExists              that version of the flow is there with another source
├── SessionEnded            the flow has reached its end
├── SessionBusy             a turn runs and the caller did not want to wait
├── SessionQuarantined      what is stored of this session cannot be read
├── RequestIdReused         the same request_id with something else in it
├── InboxFull               too many turns wait already
├── StaleClaim              another writer has the session by now
├── TurnMoved               another process goes on with the turn
└── StoreUnavailable        the store does not answer, or cannot write
"""

from __future__ import annotations

from collections.abc import Sequence

from clawdbot_servicekit.errors import FieldViolation


class DialogueError(Exception):
    """A failure that the dialogue service's error table knows."""


class SessionNotFound(DialogueError):
    """There is no such session for this tenant."""

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
    """There is no such flow, or not in that version."""

    def __init__(self, flow: str, hint: str = "") -> None:
        self.flow = flow
        """With its version, where one was asked for."""
        self.hint = hint
        """Empty, or a space and a sentence."""
        super().__init__(flow)


class FlowRejected(DialogueError):
    """A source that is no usable flow; nothing was deployed."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        self.first = self.violations[0].description if self.violations else ""
        super().__init__(self.first)


class FlowExists(DialogueError):
    """That version of the flow is there with another source; nothing was deployed."""

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
    """A turn runs, and the caller asked for REJECT; nothing was accepted."""

    def __init__(self, session_id: str, retry_after: float = 1.0) -> None:
        self.session_id = session_id
        self.retry_after = retry_after
        super().__init__(session_id)


class SessionQuarantined(DialogueError):
    """What is stored of the session cannot be read; it is kept as it is, and takes no turns."""

    def __init__(self, session_id: str, explanation: str = "") -> None:
        self.session_id = session_id
        self.explanation = explanation
        super().__init__(f"{session_id}: {explanation}")


class RequestIdReused(DialogueError):
    """The request_id names something else already."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(request_id)


class InboxFull(DialogueError):
    """As many turns wait for the session as may; nothing was accepted."""

    def __init__(self, session_id: str, limit: int, retry_after: float = 1.0) -> None:
        self.session_id = session_id
        self.limit = limit
        self.retry_after = retry_after
        self.quota_subject = f"session:{session_id}"
        super().__init__(f"{session_id}: {limit}")


class LeaseLost(DialogueError):
    """The claim was lost, or the session changed or went, since it was read; nothing was written."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(session_id)


class TurnMoved(DialogueError):
    """Another process has taken the turn over after this one had begun to tell about it."""

    def __init__(self, turn_id: str, retry_after: float = 1.0) -> None:
        self.turn_id = turn_id
        self.retry_after = retry_after
        super().__init__(turn_id)


class StoreUnavailable(DialogueError):
    """The store cannot read or write now; what was asked for has not happened."""

    def __init__(self, explanation: str, retry_after: float = 1.0) -> None:
        self.explanation = explanation
        self.retry_after = retry_after
        super().__init__(explanation)
