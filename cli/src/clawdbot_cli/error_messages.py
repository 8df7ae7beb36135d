"""Turns a failed call into a sentence for the person at the terminal, and says whether to retry it."""

from __future__ import annotations

from typing import Final

from clawdbot_servicekit.errors import RemoteError

CONNECTION_ERRORS: Final = frozenset({"UNAVAILABLE", "CANCELLED", "INTERNAL"})
"""Codes that gRPC itself reports when a connection breaks or cannot be made."""

MESSAGES: Final = {
    "UNAVAILABLE": "Cannot reach {server}. Check that it is running.",
    "UNIMPLEMENTED": "The server at {server} does not offer this service. Use the address of the suite.",
    "DEADLINE_EXCEEDED": "{server} did not answer in time.",
    "CANCELLED": "The connection to {server} was lost. Check that it is running.",
}
"""Code → sentence, where the error does not come from a Clawdbot service."""

HINTS: Final = {
    "UNAUTHENTICATED": "Give the key with --key-file FILE or in CLAWDBOT_API_KEY.",
    "SESSION_ENDED": "Use /flow NAME to start another conversation.",
    "FLOW_NOT_FOUND": "To list the flows, run `clawdbot chat` and type /flows.",
}
"""Reason → what to do about it."""


def error_message(error: RemoteError, server: str) -> str:
    """What happened, why, and what to do.

    Args:
        error: the failed call.
        server: the server's name in the sentence.
    """
    if error.domain:
        message = f"{error.message} ({error.reason})"
    else:
        message = MESSAGES.get(error.code, "{server} answered {code}: {message}").format(
            server=server, code=error.code, message=error.message
        )
    hint = HINTS.get(error.reason, "")
    if error.retry_after and error.code == "RESOURCE_EXHAUSTED":
        hint = f"Try again in {error.retry_after:.3g} s."
    return f"{message} {hint}".rstrip()


def is_connection_error(error: RemoteError) -> bool:
    """Whether the connection, and not the request, is the problem: nothing answers, or it broke."""
    return not error.domain and error.code in CONNECTION_ERRORS


def is_transient(error: RemoteError) -> bool:
    """Whether the same request may succeed in a moment: the server is draining, or the turn has moved."""
    return error.code == "DEADLINE_EXCEEDED" or (
        bool(error.domain) and error.retry_after is not None and error.code in ("UNAVAILABLE", "ABORTED")
    )
