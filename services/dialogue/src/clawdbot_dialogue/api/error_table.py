"""What the dialogue service's exceptions mean to a caller."""

from __future__ import annotations

from clawdbot_plugin_client.hooks import HOOK_RULES
from clawdbot_servicekit.error_table import ErrorRule, ErrorTable
from grpc import StatusCode

from clawdbot_dialogue.clients.graphviz import RendererBroken, RendererMissing
from clawdbot_dialogue.core import errors


def error_table() -> ErrorTable:
    """The table, over what every service shares."""
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
                StatusCode.INVALID_ARGUMENT, "FLOW_INVALID", "The source is no usable flow. {first}"
            ),
            errors.FlowExists: ErrorRule(
                StatusCode.ALREADY_EXISTS,
                "FLOW_VERSION_EXISTS",
                "Version {version} of the flow {flow} is there with another source; "
                "give this one another version.",
                metadata=("flow", "version"),
            ),
            RendererMissing: ErrorRule(
                StatusCode.FAILED_PRECONDITION,
                "RENDERER_MISSING",
                "The server has no Graphviz: install the package graphviz there, or ask for Mermaid.",
            ),
            RendererBroken: ErrorRule(
                StatusCode.INTERNAL,
                "RENDERER_FAILED",
                "Graphviz did not draw the picture: {explanation}. Ask for Mermaid.",
            ),
            errors.SessionEnded: ErrorRule(
                StatusCode.FAILED_PRECONDITION,
                "SESSION_ENDED",
                "The session {session_id} has ended; open another one.",
            ),
            errors.SessionBusy: ErrorRule(
                StatusCode.ABORTED,
                "SESSION_BUSY",
                "The session {session_id} is at work on another turn.",
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
                "The request id {request_id} was used for something else before.",
                metadata=("request_id",),
            ),
            errors.InboxFull: ErrorRule(
                StatusCode.RESOURCE_EXHAUSTED,
                "INBOX_FULL",
                "The session {session_id} has {limit} unfinished turns and takes no more.",
                retryable=True,
            ),
            errors.LeaseLost: ErrorRule(
                StatusCode.UNAVAILABLE,
                "TURN_MOVED",
                "Another server goes on with the session {session_id}; ask again.",
                retryable=True,
            ),
            errors.TurnMoved: ErrorRule(
                StatusCode.UNAVAILABLE,
                "TURN_MOVED",
                "Another server goes on with the turn {turn_id}; ask again under the same request id.",
                retryable=True,
            ),
            errors.StoreUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "STORE_UNAVAILABLE",
                "The session store cannot be used now; what was asked for was not done.",
                retryable=True,
            ),
        }
    )
