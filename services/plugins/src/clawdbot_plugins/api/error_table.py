"""Maps the plugin service's exceptions to gRPC statuses."""

from __future__ import annotations

from clawdbot_servicekit.error_table import ErrorRule, ErrorTable
from grpc import StatusCode

from clawdbot_plugins.core.errors import (
    HookFailed,
    OutcomeUnknown,
    PluginNotFound,
    RequestIdReused,
    ToolBusy,
    ToolLimited,
    ToolNotFound,
    ToolRefused,
    ToolTimedOut,
    ToolUnavailable,
)
from clawdbot_plugins.core.idempotency_store import IdempotencyStoreUnavailable


def error_table() -> ErrorTable:
    """Returns the table of this service, on top of the shared rules."""
    return ErrorTable(
        {
            PluginNotFound: ErrorRule(
                StatusCode.NOT_FOUND,
                "PLUGIN_NOT_FOUND",
                "There is no plugin {name}.{hint}",
                metadata=("name",),
            ),
            ToolNotFound: ErrorRule(
                StatusCode.NOT_FOUND, "TOOL_NOT_FOUND", "There is no tool {name}.{hint}", metadata=("name",)
            ),
            ToolBusy: ErrorRule(
                StatusCode.RESOURCE_EXHAUSTED,
                "TOOL_BUSY",
                "The tool {tool} is busy: at most {limit} concurrent calls are allowed.",
                retryable=True,
                metadata=("tool",),
            ),
            ToolTimedOut: ErrorRule(
                StatusCode.DEADLINE_EXCEEDED,
                "TOOL_TIMED_OUT",
                "The tool {tool} took longer than {seconds} s and was cancelled.",
                metadata=("tool",),
            ),
            ToolUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "TOOL_UNAVAILABLE",
                "The tool {tool} cannot do its work for now; it had no effect.",
                retryable=True,
                metadata=("tool",),
            ),
            ToolRefused: ErrorRule(
                StatusCode.PERMISSION_DENIED, "{reason}", "{message}", metadata=("plugin",)
            ),
            ToolLimited: ErrorRule(
                StatusCode.RESOURCE_EXHAUSTED, "{reason}", "{message}", retryable=True, metadata=("plugin",)
            ),
            RequestIdReused: ErrorRule(
                StatusCode.ALREADY_EXISTS,
                "REQUEST_ID_REUSED",
                "The request id {request_id} was already used for {tool} with other arguments.",
                metadata=("tool", "request_id"),
            ),
            OutcomeUnknown: ErrorRule(
                StatusCode.ABORTED,
                "TOOL_OUTCOME_UNKNOWN",
                "The call {request_id} of {tool} was interrupted. It may have had its effect, so it is "
                "not run again.",
                metadata=("tool", "request_id"),
            ),
            HookFailed: ErrorRule(
                StatusCode.UNAVAILABLE,
                "HOOK_FAILED",
                "A hook of {plugin} at {point} failed, so this was not done.",
                retryable=True,
                metadata=("plugin", "point"),
            ),
            IdempotencyStoreUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "LEDGER_UNAVAILABLE",
                "The store of once-only calls is unavailable.",
                retryable=True,
            ),
        }
    )
