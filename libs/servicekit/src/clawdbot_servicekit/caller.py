"""The caller of the running call, as a context variable: the server sets it once for each call.

Each call runs in a task of its own, so the variable needs no reset.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

DEFAULT_TENANT = "default"
"""The tenant of all callers while no keys are configured."""

TENANT_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}"
"""Tenants become parts of names elsewhere, so they have no slash, no space and no control character."""
TENANT: Final = "1 to 128 letters, digits and . : @ _ -, with a letter or a digit first, such as acme"
"""The words for the pattern."""


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
