"""A failed call as a sentence for the person at the terminal."""

from __future__ import annotations

from typing import Final

from clawdbot_servicekit.errors import RemoteError

AWAY: Final = frozenset({"UNAVAILABLE", "CANCELLED", "INTERNAL"})
"""Codes that gRPC itself gives when a connection breaks or cannot be made."""

BARE: Final = {
    "UNAVAILABLE": "Nobody answers at {where}.",
    "UNIMPLEMENTED": "The server at {where} does not have this; the suite's address does.",
    "DEADLINE_EXCEEDED": "{where} did not answer in time.",
    "CANCELLED": "The connection to {where} was cut.",
}
"""Code → sentence, where no Clawdbot service gave a reason."""

ADVICE: Final = {
    "UNAUTHENTICATED": "Give the key: --key-file FILE, or CLAWDBOT_API_KEY in the environment.",
    "SESSION_ENDED": "/flow NAME begins another conversation.",
    "FLOW_NOT_FOUND": "`clawdbot chat` and then /flows lists them.",
}
"""Reason → what to do here."""


def sentence(fault: RemoteError, where: str) -> str:
    """What happened, why, and what to do."""
    if fault.domain:
        told = f"{fault.message} ({fault.reason})"
    else:
        told = BARE.get(fault.code, "{where} answered {code}: {message}").format(
            where=where, code=fault.code, message=fault.message
        )
    advice = ADVICE.get(fault.reason, "")
    if fault.retry_after and fault.code == "RESOURCE_EXHAUSTED":
        advice = f"Try again in {fault.retry_after:.3g} s."
    return f"{told} {advice}".rstrip()


def is_away(fault: RemoteError) -> bool:
    """Whether the server, and not the request, is the matter: nobody answers, or the connection broke."""
    return not fault.domain and fault.code in AWAY


def passes(fault: RemoteError) -> bool:
    """Whether the server says that the same request may work in a moment: it drains, or a turn has moved."""
    return fault.code == "DEADLINE_EXCEEDED" or (
        bool(fault.domain) and fault.retry_after is not None and fault.code in ("UNAVAILABLE", "ABORTED")
    )
