"""What keeps requests from a backend, in a word or two."""

from __future__ import annotations

from typing import Final

from clawdbot.model_gateway.v1.model_admin_service_pb2 import (
    BREAKER_STATE_HALF_OPEN,
    BREAKER_STATE_OPEN,
    Backend,
)

BREAKERS: Final = {BREAKER_STATE_OPEN: "breaker open", BREAKER_STATE_HALF_OPEN: "breaker half-open"}
"""The states in which a breaker keeps requests from its backend."""


def backend_state(backend: Backend) -> str:
    """The most lasting cause; empty where there is none."""
    if backend.draining:
        return "draining"
    return BREAKERS.get(backend.breaker) or ("" if backend.models else "no models")
