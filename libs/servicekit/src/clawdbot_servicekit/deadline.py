"""The deadline of the running call, as a context variable.

The server sets an absolute deadline for each call. Code below asks what remains, and gives each outgoing call
what remains minus a margin, so that the callee times out first and its answer still arrives.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

MARGIN = 0.05
"""Seconds subtracted from the timeout of an outgoing call, for the way back."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def enter_deadline(seconds: float | None) -> None:
    """Gives this task so many seconds from now on; None for no limit."""
    _deadline.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds left, never below 0; None if there is no limit."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def outgoing_timeout(ceiling: float | None = None) -> float | None:
    """The timeout in seconds for a call that is made on behalf of this one, at most `ceiling`."""
    left = remaining()
    if left is None:
        return ceiling
    budget = max(0.0, left - MARGIN)
    return budget if ceiling is None else min(budget, ceiling)
