"""Reads Google's errors: google.rpc.Status in JSON, whose details are more specific than its status.

A refused key is an INVALID_ARGUMENT, and RESOURCE_EXHAUSTED can mean a limit per minute, a quota per day or
an empty account.

Sources: google/rpc/{code,error_details}.proto; Gemini API, "Troubleshooting guide" and "Rate limits".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    LimitTooSmall,
    ModelMissing,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http.error_codes import ErrorClass
from clawdbot_model_gateway.http.error_wordings import class_of_wording, never_fits

STATUSES: Final[Mapping[str, ErrorClass]] = {
    "INVALID_ARGUMENT": RequestRefused,
    "OUT_OF_RANGE": RequestRefused,
    "UNIMPLEMENTED": RequestRefused,
    "FAILED_PRECONDITION": BackendAuth,
    "UNAUTHENTICATED": BackendAuth,
    "PERMISSION_DENIED": BackendAuth,
    "NOT_FOUND": ModelMissing,
    "RESOURCE_EXHAUSTED": RateLimited,
    "UNAVAILABLE": BackendOverloaded,
    "DEADLINE_EXCEEDED": BackendTimeout,
    "INTERNAL": BackendFailed,
    "UNKNOWN": BackendFailed,
    "ABORTED": BackendFailed,
    "CANCELLED": BackendFailed,
}
"""google.rpc.Code → error, if nothing more specific matches. FAILED_PRECONDITION is about the account: a
country without a free tier, or billing that is not enabled."""

REASONS: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (re.compile(r"API_KEY_|SERVICE_DISABLED|ACCESS_TOKEN|CONSUMER_(INVALID|SUSPENDED)"), BackendAuth),
    (re.compile(r"BILLING_DISABLED"), QuotaExhausted),
)
"""The reason in google.rpc.ErrorInfo → error."""

PHRASES: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (re.compile(r"api key (not valid|expired|not found)|reported as leaked"), BackendAuth),
    (re.compile(r"access the file|cachedcontent not found"), RequestRefused),
    (re.compile(r"prepayment credits|spending cap|spend limit|credits are depleted"), QuotaExhausted),
)
"""A phrase of the message, in lower case → error, where status and details are not specific enough."""

READ_STATUSES: Final = frozenset({"INVALID_ARGUMENT", "OUT_OF_RANGE", "INTERNAL", "UNKNOWN", "NOT_FOUND"})
"""Statuses after which the wordings that all vendors share are read too."""
STATUS_OF_WORDINGS: Final = 400

PER_DAY: Final = re.compile(r"per_?day", re.IGNORECASE)
"""In the name of a quota that waiting a minute does not renew."""
EXHAUSTED: Final = re.compile(r"per[ _]?day|\blimit: 0\b")
"""The same in a message without details, in lower case; or a limit of nothing, which a free tier has."""
SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d+)?)s")
"""google.protobuf.Duration in JSON."""


def rpc_status(payload: Any) -> Mapping[str, Any] | None:
    """The google.rpc.Status in a response; streams without SSE and Chat Completions wrap it in a list."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if isinstance(error, dict) and str(error.get("status")) in STATUSES else None


def error_class_of(error: Mapping[str, Any]) -> ErrorClass:
    """The class of a google.rpc.Status."""
    status, details = str(error["status"]), _details(error)
    text = str(error.get("message")).lower()
    for pattern, error_class in REASONS:
        if any(pattern.match(str(info.get("reason"))) for info in _of_type("ErrorInfo", details)):
            return error_class
    if status == "RESOURCE_EXHAUSTED":
        failures = [*_of_type("QuotaFailure", details)]
        if any(map(_is_exhausted, failures)) or (not failures and EXHAUSTED.search(text)):
            return QuotaExhausted
        if never_fits(text):
            return LimitTooSmall
    for pattern, error_class in PHRASES:
        if pattern.search(text):
            return error_class
    said = class_of_wording(STATUS_OF_WORDINGS, text) if status in READ_STATUSES else None
    return said or STATUSES[status]


def retry_delay(payload: Any) -> float | None:
    """Seconds, from the google.rpc.RetryInfo of a Status; None without one."""
    error = rpc_status(payload)
    for info in _of_type("RetryInfo", [] if error is None else _details(error)):
        delay = SECONDS.fullmatch(str(info.get("retryDelay")))
        if delay is not None:
            return math.ceil(float(delay[1]) * 1000) / 1000
    return None


def _is_exhausted(failure: Mapping[str, Any]) -> bool:
    """Whether a quota per day is used up, or a quota is zero."""
    violations = [each for each in _list(failure.get("violations")) if isinstance(each, dict)]
    return any(
        PER_DAY.search(f"{each.get('quotaId')} {each.get('quotaMetric')}") or each.get("quotaValue") == "0"
        for each in violations
    )


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [detail for detail in _list(error.get("details")) if isinstance(detail, dict)]


def _of_type(name: str, details: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (detail for detail in details if str(detail.get("@type")).endswith(f"google.rpc.{name}"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
