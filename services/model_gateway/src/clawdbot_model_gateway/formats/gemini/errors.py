"""Maps Google's errors: google.rpc.Status in JSON, whose details are more specific than its status.

A refused key is an INVALID_ARGUMENT, and RESOURCE_EXHAUSTED can mean a limit per minute, a quota per day or
an empty account.

Sources: google/rpc/{code,error_details}.proto; Gemini API, "Troubleshooting guide" and "Rate limits".
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from typing_extensions import override

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ModelError,
    ModelMissing,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http import ErrorMapper
from clawdbot_model_gateway.http.error_wordings import ErrorClass, class_of_wording
from clawdbot_model_gateway.http.retry_after import MAX_RETRY_AFTER, retry_after

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

READ_STATUSES: Final = frozenset({"INVALID_ARGUMENT", "OUT_OF_RANGE", "INTERNAL", "UNKNOWN"})
"""Statuses after which the wordings that all vendors share are read too."""
STATUS_OF_WORDINGS: Final = 400

PER_DAY: Final = re.compile(r"per_?day", re.IGNORECASE)
"""In the name of a quota that waiting a minute does not renew."""
SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d+)?)s")
"""google.protobuf.Duration in JSON."""


class GeminiErrorMapper(ErrorMapper):
    """Reads the errors of one backend. What is not in Google's form is read as any vendor's error."""

    @override
    def from_response(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            payload = None
        error = _rpc_status(payload)
        if error is None:
            return super().from_response(status, body, headers)
        return self._error(error, status, retry_after(headers, time.time()))

    @override
    def from_payload(self, payload: Mapping[str, Any]) -> ModelError:
        error = _rpc_status(payload)
        return super().from_payload(payload) if error is None else self._error(error, 500, None)

    def _error(self, error: Mapping[str, Any], status: int, header_delay: float | None) -> ModelError:
        code, message = error.get("code"), error.get("message")
        text = message if isinstance(message, str) else ""
        details = [detail for detail in _list(error.get("details")) if isinstance(detail, dict)]
        error_class = _classify(str(error["status"]), text.lower(), details)
        summary = f"HTTP {code if isinstance(code, int) else status} {error['status']}"
        # The message may repeat a refused key; a message about the account contains no key.
        hidden = error_class is BackendAuth and "key" in text.lower()
        shown = "" if hidden else self.sanitize(text)
        delay = _retry_delay(details)
        return error_class(summary, quote=shown, retry_after=header_delay if delay is None else delay)


def _rpc_status(payload: Any) -> Mapping[str, Any] | None:
    """The google.rpc.Status in a response; streams without SSE wrap it in a list."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if isinstance(error, dict) and error.get("status") in STATUSES else None


def _classify(status: str, text: str, details: list[dict[str, Any]]) -> ErrorClass:
    for pattern, error_class in REASONS:
        if any(pattern.match(str(info.get("reason"))) for info in _of_type("ErrorInfo", details)):
            return error_class
    if status == "RESOURCE_EXHAUSTED" and any(map(_is_exhausted, _of_type("QuotaFailure", details))):
        return QuotaExhausted
    for pattern, error_class in PHRASES:
        if pattern.search(text):
            return error_class
    said = class_of_wording(STATUS_OF_WORDINGS, text) if status in READ_STATUSES else None
    return said or STATUSES[status]


def _is_exhausted(failure: Mapping[str, Any]) -> bool:
    """Whether a quota per day is used up, or a quota is zero."""
    violations = [each for each in _list(failure.get("violations")) if isinstance(each, dict)]
    return any(
        PER_DAY.search(f"{each.get('quotaId')} {each.get('quotaMetric')}") or each.get("quotaValue") == "0"
        for each in violations
    )


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    """Seconds, from google.rpc.RetryInfo; None without one."""
    for info in _of_type("RetryInfo", details):
        delay = SECONDS.fullmatch(str(info.get("retryDelay")))
        if delay is not None:
            return min(math.ceil(float(delay[1]) * 1000) / 1000, MAX_RETRY_AFTER)
    return None


def _of_type(name: str, details: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (detail for detail in details if str(detail.get("@type")).endswith(f"google.rpc.{name}"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
