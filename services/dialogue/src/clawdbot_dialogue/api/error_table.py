"""Maps the dialogue service's exceptions to gRPC statuses."""

from __future__ import annotations

from clawdbot_plugin_client.hooks import HOOK_RULES
from clawdbot_servicekit.error_table import ErrorRule, ErrorTable
from grpc import StatusCode

from clawdbot_dialogue.clients.graphviz import RendererFailed, RendererMissing
from clawdbot_dialogue.core import errors


def error_table() -> ErrorTable:
    """Returns the table, which extends the one that all services share."""
    return ErrorTable(
        {
            **HOOK_RULES,
            errors.SessionNotFound: ErrorRule(
                StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", "There is no session {session_id}."
            ),
            errors.TurnNotFound: ErrorRule(
                StatusCode.NOT_FOUND, "TURN_NOT_FOUND", "The session {session_id} has no turn {turn}."
            ),
            errors.UnknownFlow: ErrorRule(
                StatusCode.NOT_FOUND, "FLOW_NOT_FOUND", "There is no flow {flow}.{hint}", metadata=("flow",)
            ),
            errors.FlowRejected: ErrorRule(
                StatusCode.INVALID_ARGUMENT, "FLOW_INVALID", "The source has errors. {first}"
            ),
            errors.FlowTooCostly: ErrorRule(
                StatusCode.RESOURCE_EXHAUSTED,
                "FLOW_TOO_COSTLY",
                "Checking the source needs more than the {limit} that are allowed: "
                "split the flow, or use fewer states, slots and guards.",
            ),
            errors.FlowExists: ErrorRule(
                StatusCode.ALREADY_EXISTS,
                "FLOW_VERSION_EXISTS",
                "Version {version} of the flow {flow} exists with another source; "
                "give this source another version.",
                metadata=("flow", "version"),
            ),
            RendererMissing: ErrorRule(
                StatusCode.FAILED_PRECONDITION,
                "RENDERER_MISSING",
                "The server has no Graphviz: install the package graphviz there, or ask for Mermaid.",
            ),
            RendererFailed: ErrorRule(
                StatusCode.INTERNAL,
                "RENDERER_FAILED",
                "Graphviz failed to draw the flow: {explanation}. Ask for Mermaid.",
            ),
            errors.SessionEnded: ErrorRule(
                StatusCode.FAILED_PRECONDITION,
                "SESSION_ENDED",
                "The session {session_id} has ended; create another one.",
            ),
            errors.SessionBusy: ErrorRule(
                StatusCode.ABORTED,
                "SESSION_BUSY",
                "The session {session_id} has an unfinished turn.",
                retryable=True,
            ),
            errors.SessionQuarantined: ErrorRule(
                StatusCode.FAILED_PRECONDITION,
                "SESSION_QUARANTINED",
                "What is stored of the session {session_id} cannot be read; it takes no turns.",
            ),
            errors.RequestIdReused: ErrorRule(
                StatusCode.ALREADY_EXISTS,
                "REQUEST_ID_REUSED",
                "The request id {request_id} was used for another request.",
                metadata=("request_id",),
            ),
            errors.InboxFull: ErrorRule(
                StatusCode.RESOURCE_EXHAUSTED,
                "INBOX_FULL",
                "The session {session_id} has {limit} unfinished turns; no more are allowed.",
                retryable=True,
            ),
            errors.LeaseLost: ErrorRule(
                StatusCode.UNAVAILABLE,
                "TURN_MOVED",
                "Another server process runs the session {session_id} now; try again.",
                retryable=True,
            ),
            errors.TurnMoved: ErrorRule(
                StatusCode.UNAVAILABLE,
                "TURN_MOVED",
                "Another server process runs the turn {turn_id} now; try again with the same request id.",
                retryable=True,
            ),
            errors.StoreUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "STORE_UNAVAILABLE",
                "The session store is not available; nothing was changed.",
                retryable=True,
            ),
        }
    )
