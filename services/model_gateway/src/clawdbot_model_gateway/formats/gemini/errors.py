"""What Google's errors mean: google.rpc.Status in JSON, whose details tell more than its status.

A refused key is an INVALID_ARGUMENT, and one RESOURCE_EXHAUSTED stands for a minute's limit, a day's quota
and an empty account alike.

Sources: google/rpc/{code,error_details}.proto; Gemini API, "Troubleshooting guide" and "Rate limits".
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ContextTooLong,
    ModelFailure,
    ModelMissing,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http import VendorErrors
from clawdbot_model_gateway.http.retry_after import LONGEST, retry_after

Kind = type[ModelFailure]

STATUSES: Final[Mapping[str, Kind]] = {
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
"""google.rpc.Code → what it means where nothing else tells. FAILED_PRECONDITION is about the account: a
country without a free tier, billing that is not enabled."""

REASONS: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(r"API_KEY_|SERVICE_DISABLED|ACCESS_TOKEN|CONSUMER_(INVALID|SUSPENDED)"), BackendAuth),
    (re.compile(r"BILLING_DISABLED"), QuotaExhausted),
)
"""google.rpc.ErrorInfo's reason → the same."""

PHRASES: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (
        re.compile(r"token count.{0,40}exceeds the maximum|exceeds? the (maximum )?context (window|length)"),
        ContextTooLong,
    ),
    (re.compile(r"api key (not valid|expired|not found)|reported as leaked"), BackendAuth),
    (re.compile(r"access the file|cachedcontent not found"), RequestRefused),
    (re.compile(r"prepayment credits|spending cap|spend limit|credits are depleted"), QuotaExhausted),
)
"""Sentences, in lower case, that tell what neither status nor details do."""

PER_DAY: Final = re.compile(r"per_?day", re.IGNORECASE)
"""In the name of a quota that waiting a minute does not renew."""
SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d+)?)s")
"""google.protobuf.Duration in JSON."""


class GeminiErrors(VendorErrors):
    """Reads the errors of one backend; what does not look like Google's is read as anybody's."""

    def answered(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelFailure:
        """What an answer other than 200 means."""
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            payload = None
        error = _status(payload)
        if error is None:
            return super().answered(status, body, headers)
        return self._meaning(error, status, retry_after(headers, time.time()))

    def in_band(self, payload: Mapping[str, Any]) -> ModelFailure:
        """What an error means that came where a piece of the reply should be, after a 200."""
        error = _status(payload)
        return super().in_band(payload) if error is None else self._meaning(error, 500, None)

    def _meaning(self, error: Mapping[str, Any], status: int, wait: float | None) -> ModelFailure:
        code, message = error.get("code"), error.get("message")
        text = message if isinstance(message, str) else ""
        details = [each for each in _list(error.get("details")) if isinstance(each, dict)]
        kind = _kind(str(error["status"]), text.lower(), details)
        shown = f"it answered {code if isinstance(code, int) else status} {self.clean(str(error['status']))}"
        # A refused key may stand in the sentence; what is wrong with the account has no key in it.
        hidden = kind is BackendAuth and "key" in text.lower()
        said = "" if hidden else self.clean(text)
        told = _wait(details)
        return kind(f"{shown}: {said}" if said else shown, retry_after=wait if told is None else told)


def _status(payload: Any) -> Mapping[str, Any] | None:
    """The google.rpc.Status in an answer; streams that are no SSE wrap it in a list."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if isinstance(error, dict) and error.get("status") in STATUSES else None


def _kind(status: str, text: str, details: list[dict[str, Any]]) -> Kind:
    for pattern, kind in REASONS:
        if any(pattern.match(str(each.get("reason"))) for each in _of("ErrorInfo", details)):
            return kind
    if status == "RESOURCE_EXHAUSTED" and any(map(_lasting, _of("QuotaFailure", details))):
        return QuotaExhausted
    for pattern, kind in PHRASES:
        if pattern.search(text):
            return kind
    return STATUSES[status]


def _lasting(failure: Mapping[str, Any]) -> bool:
    """Whether a quota of a day is used up, or one is nothing to begin with."""
    violations = [each for each in _list(failure.get("violations")) if isinstance(each, dict)]
    return any(
        PER_DAY.search(f"{each.get('quotaId')} {each.get('quotaMetric')}") or each.get("quotaValue") == "0"
        for each in violations
    )


def _wait(details: list[dict[str, Any]]) -> float | None:
    """Seconds of google.rpc.RetryInfo; None where it does not say."""
    for each in _of("RetryInfo", details):
        found = SECONDS.fullmatch(str(each.get("retryDelay")))
        if found is not None:
            return min(math.ceil(float(found[1]) * 1000) / 1000, LONGEST)
    return None


def _of(name: str, details: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (each for each in details if str(each.get("@type")).endswith(f"google.rpc.{name}"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
