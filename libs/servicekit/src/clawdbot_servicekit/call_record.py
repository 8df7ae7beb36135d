"""The record of one call, for its line in the log and for metrics.

The pipeline makes the record; the code that handles the call may add to it with `annotate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple


class CallRecord(NamedTuple):
    """One finished call."""

    method: str
    """"/package.Service/Method"."""
    code: str
    """Name of the status code: "OK", "NOT_FOUND"; "CANCELLED" if the caller disconnected."""
    reason: str
    """ErrorInfo.reason; empty for OK and for a status that a handler set itself."""
    seconds: float
    tenant: str
    """Empty if the call ended before the caller was identified."""
    key_id: str
    """Public part of the caller's key."""
    in_process: bool
    """Whether it came from a service in the same process."""
    fields: Mapping[str, object]
    """The annotations: session, turn, model …"""


_annotations: ContextVar[dict[str, object] | None] = ContextVar("annotations", default=None)


def annotate(**fields: object) -> None:
    """Adds fields to the record of the running call: session, turn, model. Does nothing outside a call.

    Never pass prompts, replies, arguments or secrets. Also works in tasks that the call has started.
    """
    annotations = _annotations.get()
    if annotations is not None:
        annotations.update(fields)


def begin_annotations() -> dict[str, object]:
    """Starts collecting the annotations of a call in this task. For the pipeline."""
    annotations: dict[str, object] = {}
    _annotations.set(annotations)
    return annotations
