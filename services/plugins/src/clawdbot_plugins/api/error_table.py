"""What the plugin service's exceptions mean to a caller."""

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
)
from clawdbot_plugins.core.idempotency_store import LedgerUnavailable


def error_table() -> ErrorTable:
    """The table, over what every service shares."""
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
                "The tool {tool} is busy: it takes at most {limit} at once.",
                retryable=True,
                metadata=("tool",),
            ),
            ToolTimedOut: ErrorRule(
                StatusCode.DEADLINE_EXCEEDED,
                "TOOL_TIMED_OUT",
                "The tool {tool} took longer than {seconds} s and was cancelled.",
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
                "The request id {request_id} was used for {tool} with other arguments.",
                metadata=("tool", "request_id"),
            ),
            OutcomeUnknown: ErrorRule(
                StatusCode.ABORTED,
                "TOOL_OUTCOME_UNKNOWN",
                "The call {request_id} of {tool} was broken off midway; it may have done its work, so it is "
                "not run again.",
                metadata=("tool", "request_id"),
            ),
            HookFailed: ErrorRule(
                StatusCode.UNAVAILABLE,
                "HOOK_FAILED",
                "A hook of {plugin} at {point} failed, so that this was not done.",
                retryable=True,
                metadata=("plugin", "point"),
            ),
            LedgerUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "LEDGER_UNAVAILABLE",
                "The record of once-only calls cannot be used now.",
                retryable=True,
            ),
        }
    )
