"""What is remembered of one call: for its line in the log and for metrics.

The pipeline makes the record; whoever works on the call may add to it with `annotate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One finished call."""

    method: str
    """"/package.Service/Method"."""
    code: str
    """Name of the status code: "OK", "NOT_FOUND"; "CANCELLED" when the caller went away."""
    reason: str
    """ErrorInfo.reason; empty for OK and for a status that a handler set by itself."""
    seconds: float
    tenant: str
    """Empty when the call ended before the caller was known."""
    key_id: str
    """Public part of the caller's key."""
    in_process: bool
    """Whether it came from a service in the same process."""
    fields: Mapping[str, object]
    """What was annotated: session, turn, model …"""


_notes: ContextVar[dict[str, object] | None] = ContextVar("notes", default=None)


def annotate(**fields: object) -> None:
    """Adds facts to the record of the running call: session, turn, model. Does nothing outside of a call.

    Never prompts, replies, arguments or secrets. Works from tasks that the call has begun, too.
    """
    notes = _notes.get()
    if notes is not None:
        notes.update(fields)


def begin_notes() -> dict[str, object]:
    """Starts the notes of a call in this task. For the pipeline."""
    notes: dict[str, object] = {}
    _notes.set(notes)
    return notes
