"""Propagates the ids of a caller's request: into every log line and every call made on its behalf.

It only passes ids on; it generates none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

import structlog

REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
"""W3C Trace Context."""

_HEADERS: Final = {
    REQUEST_ID: ("request_id", re.compile(r"([\w.:/+=-]{1,128})", re.ASCII)),
    TRACEPARENT: ("trace_id", re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")),
}
"""Header → its name in the log, and its format with the part to log. Other formats are ignored."""

_headers: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("tracing_headers", default=())
_ids: ContextVar[Mapping[str, str]] = ContextVar("tracing_ids", default=MappingProxyType({}))


def extract(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Reads the ids from a call's metadata, for this task and the tasks that it starts."""
    found: list[tuple[str, str]] = []
    logged: dict[str, str] = {}
    for name, value in metadata:
        if name in _HEADERS and isinstance(value, str):
            label, pattern = _HEADERS[name]
            match = pattern.fullmatch(value)
            if match is not None:
                found.append((name, value))
                logged[label] = match[1]
    if found:
        _headers.set(tuple(found))
        _ids.set(logged)
        structlog.contextvars.bind_contextvars(**logged)


def headers() -> tuple[tuple[str, str], ...]:
    """The metadata to send with a call that is made on behalf of the running one."""
    return _headers.get()


def ids() -> Mapping[str, str]:
    """The ids of the running call, by their names in the log."""
    return _ids.get()
