"""The caller of the running call, as a context variable: the server sets it once for each call.

Each call runs in a task of its own, so the variable needs no reset.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

DEFAULT_TENANT = "default"
"""The tenant of all callers while no keys are configured."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a call is made for. The tenant comes from the key, never from a field of the request."""

    tenant: str = DEFAULT_TENANT
    key_id: str = ""
    """Public part of the key; empty while no keys are configured."""
    service: bool = False
    """True for another Clawdbot service, which calls for the tenant that it names."""


_current: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039 - frozen


def current_caller() -> Caller:
    """The caller that the running call is made for."""
    return _current.get()


def enter_caller(caller: Caller) -> None:
    """Sets the caller of this task. For servers, and for work that outlives its call."""
    _current.set(caller)
