"""What the gateway's exceptions mean to a caller."""

from __future__ import annotations

from typing import Final

from clawdbot_servicekit.errors import ErrorRule, ErrorTable
from clawdbot_servicekit.hooks import HOOK_RULES
from grpc import StatusCode

from clawdbot_model_gateway.core import failures
from clawdbot_model_gateway.core.switches import RecordUnavailable

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
            failures.ModelFailure: _failure(StatusCode.UNAVAILABLE),
            failures.BackendAuth: _failure(StatusCode.FAILED_PRECONDITION),
            failures.RateLimited: _failure(StatusCode.RESOURCE_EXHAUSTED, retryable=True),
            failures.QuotaExhausted: _failure(StatusCode.RESOURCE_EXHAUSTED),
            failures.RequestRefused: _failure(StatusCode.INVALID_ARGUMENT),
            failures.CannotEmbed: _failure(StatusCode.FAILED_PRECONDITION),
            failures.ModelMissing: _failure(StatusCode.NOT_FOUND),
            failures.UnknownModel: ErrorRule(
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
