"""The thread through the services: ids that a caller gave, in every log line and on every further call.

Only ids that were given are passed on; none is made up here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

import structlog

REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
"""W3C Trace Context."""

_SHAPES: Final = {
    REQUEST_ID: ("request_id", re.compile(r"([\w.:/+=-]{1,128})", re.ASCII)),
    TRACEPARENT: ("trace_id", re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")),
}
"""Header → its name in the log, and what of it is shown there. Anything of another shape is not taken up."""

_headers: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("tracing_headers", default=())


def extract(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Takes the ids of a call up, for this task and those that it begins."""
    found: list[tuple[str, str]] = []
    shown: dict[str, str] = {}
    for name, value in metadata:
        if name in _SHAPES and isinstance(value, str):
            label, shape = _SHAPES[name]
            match = shape.fullmatch(value)
            if match is not None:
                found.append((name, value))
                shown[label] = match[1]
    if found:
        _headers.set(tuple(found))
        structlog.contextvars.bind_contextvars(**shown)


def headers() -> tuple[tuple[str, str], ...]:
    """What to send along with a call made on behalf of the running one."""
    return _headers.get()
