"""What the gateway's exceptions mean to a caller."""

from __future__ import annotations

from typing import Final

from clawdbot_plugin_client.hooks import HOOK_RULES
from clawdbot_servicekit.error_table import ErrorRule, ErrorTable
from grpc import StatusCode

from clawdbot_model_gateway.core import errors
from clawdbot_model_gateway.core.alias_overrides import RecordUnavailable

SENTENCE: Final = "{target}: {detail}. {advice}{before}"
FACTS: Final = ("target",)


def _failure(code: StatusCode, *, retryable: bool = False) -> ErrorRule:
    """What most failures of backends have in common; the class gives reason and advice."""
    return ErrorRule(code, "{reason}", SENTENCE, retryable=retryable, metadata=FACTS)


def error_table() -> ErrorTable:
    """The table, over what every service shares."""
    return ErrorTable(
        {
            **HOOK_RULES,
            errors.ModelFailure: _failure(StatusCode.UNAVAILABLE),
            errors.BackendAuth: _failure(StatusCode.FAILED_PRECONDITION),
            errors.RateLimited: _failure(StatusCode.RESOURCE_EXHAUSTED, retryable=True),
            errors.QuotaExhausted: _failure(StatusCode.RESOURCE_EXHAUSTED),
            errors.RequestRefused: _failure(StatusCode.INVALID_ARGUMENT),
            errors.CannotEmbed: _failure(StatusCode.FAILED_PRECONDITION),
            errors.ModelMissing: _failure(StatusCode.NOT_FOUND),
            errors.UnknownModel: ErrorRule(
                StatusCode.NOT_FOUND,
                "MODEL_NOT_FOUND",
                "There is no model {model}.{suggestion}",
                metadata=("model",),
            ),
            RecordUnavailable: ErrorRule(
                StatusCode.UNAVAILABLE,
                "SWITCH_NOT_RECORDED",
                "The switch could not be recorded, and the alias means what it meant: {explanation}.",
                retryable=True,
            ),
        }
    )
