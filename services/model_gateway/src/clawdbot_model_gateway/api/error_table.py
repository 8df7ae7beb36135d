"""Maps the gateway's exceptions to gRPC statuses."""

from __future__ import annotations

from typing import Final

from clawdbot_plugin_client.hooks import HOOK_RULES
from clawdbot_servicekit.error_table import ErrorRule, ErrorTable
from grpc import StatusCode

from clawdbot_model_gateway.core import errors
from clawdbot_model_gateway.core.drains import DrainNotRecorded
from clawdbot_model_gateway.core.limits.refusals import LimitReached, LimitsUnavailable
from clawdbot_model_gateway.core.limits.usage_ledger import UsageUnavailable
from clawdbot_model_gateway.core.reply_cache.port import CacheNotFlushed
from clawdbot_model_gateway.core.routing.alias_overrides import OverrideStoreUnavailable

MESSAGE: Final = "{target}: {statement} {advice}{other_attempts}"
METADATA: Final = ("target",)


def _model_error(code: StatusCode, *, retryable: bool = False) -> ErrorRule:
    """The rule of a ModelError; its class supplies reason and advice."""
    return ErrorRule(code, "{reason}", MESSAGE, retryable=retryable, metadata=METADATA)


def error_table() -> ErrorTable:
    """The gateway's rules, added to those that all services share."""
    return ErrorTable(
        {
            **HOOK_RULES,
            errors.ModelError: _model_error(StatusCode.UNAVAILABLE),
            errors.BackendRemoved: _model_error(StatusCode.UNAVAILABLE, retryable=True),
            errors.BackendAuth: _model_error(StatusCode.FAILED_PRECONDITION),
            errors.RateLimited: _model_error(StatusCode.RESOURCE_EXHAUSTED, retryable=True),
            errors.LimitTooSmall: _model_error(StatusCode.RESOURCE_EXHAUSTED),
            errors.QueueFull: _model_error(StatusCode.RESOURCE_EXHAUSTED, retryable=True),
            errors.QueueTimeout: _model_error(StatusCode.RESOURCE_EXHAUSTED, retryable=True),
            errors.DeadlineUnreachable: _model_error(StatusCode.RESOURCE_EXHAUSTED, retryable=True),
            errors.QuotaExhausted: _model_error(StatusCode.RESOURCE_EXHAUSTED),
            errors.RequestRefused: _model_error(StatusCode.INVALID_ARGUMENT),
            errors.CannotEmbed: _model_error(StatusCode.FAILED_PRECONDITION),
            errors.ModelMissing: _model_error(StatusCode.NOT_FOUND),
            errors.UnknownModel: ErrorRule(
                StatusCode.NOT_FOUND,
                "MODEL_NOT_FOUND",
                "There is no model {model}.{suggestion}",
                metadata=("model",),
            ),
            errors.UnknownBackend: ErrorRule(
                StatusCode.NOT_FOUND,
                "BACKEND_NOT_FOUND",
                "There is no backend {backend}{suggestion}",
                metadata=("backend",),
            ),
            errors.ConfigurationInvalid: ErrorRule(
                StatusCode.FAILED_PRECONDITION,
                "CONFIGURATION_INVALID",
                "Nothing has changed, since the configuration is invalid: {explanation}",
            ),
            errors.SwitchingOff: ErrorRule(
                StatusCode.FAILED_PRECONDITION,
                "SWITCHING_OFF",
                "This gateway runs with gateway.switching: false, as its replicas would not all learn of a "
                "switch. Change models.aliases in the configuration instead.",
            ),
            DrainNotRecorded: ErrorRule(
                StatusCode.UNAVAILABLE,
                "DRAIN_NOT_RECORDED",
                "It could not be stored, and nothing has changed: {explanation}.",
                retryable=True,
            ),
            CacheNotFlushed: ErrorRule(
                StatusCode.UNAVAILABLE,
                "CACHE_NOT_FLUSHED",
                "Redis could not be reached and may still serve what it has: {explanation}. "
                "The workers of this machine are flushed.",
                retryable=True,
            ),
            LimitReached: ErrorRule(
                StatusCode.RESOURCE_EXHAUSTED, "{reason}", "{explanation}", metadata=("limit", "window")
            ),
            LimitsUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "LIMITS_UNAVAILABLE",
                "The limits cannot be checked now, and this gateway refuses calls then: {explanation}",
                retryable=True,
            ),
            UsageUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "USAGE_UNAVAILABLE",
                "The records of usage cannot be read now: {explanation}",
                retryable=True,
            ),
            OverrideStoreUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "SWITCH_NOT_RECORDED",
                "The switch could not be stored, and the alias is unchanged: {explanation}.",
                retryable=True,
            ),
        }
    )
