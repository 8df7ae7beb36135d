"""Maps a vendor's error response to a ModelError. Codes and messages come before the ambiguous statuses.

Sources: OpenAI's error codes guide, vLLM's and llama.cpp's servers, DeepSeek's, Moonshot's, OpenRouter's
    and Anthropic's error pages, Azure OpenAI's reference.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from clawdbot_servicekit.redaction import Redactor

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ContextTooLong,
    ModelError,
    ModelMissing,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http.retry_after import retry_after

ErrorClass = type[ModelError]

ERROR_CODES: Final[Mapping[str, ErrorClass]] = {
    "invalid_api_key": BackendAuth,
    "authentication_error": BackendAuth,
    "invalid_authentication_error": BackendAuth,
    "permission_error": BackendAuth,
    "permission_denied": BackendAuth,
    "insufficient_quota": QuotaExhausted,
    "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted,
    "insufficient_balance": QuotaExhausted,
    "exceeded_current_quota_error": QuotaExhausted,
    "billing_error": QuotaExhausted,
    "contract_spend_limit_reached": QuotaExhausted,
    "enforced_spend_limit_reached": QuotaExhausted,
    "linked_organization_spend_limit_reached": QuotaExhausted,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "rate_limit_reached_error": RateLimited,
    "overloaded_error": BackendOverloaded,
    "engine_overloaded_error": BackendOverloaded,
    "server_overloaded": BackendOverloaded,
    "model_not_found": ModelMissing,
    "deploymentnotfound": ModelMissing,
    "context_length_exceeded": ContextTooLong,
    "exceed_context_size_error": ContextTooLong,
    "server_error": BackendFailed,
    "internal_server_error": BackendFailed,
    "internalservererror": BackendFailed,
}
"""`code` or `type` of an error, in lower case → error class."""

MESSAGE_PATTERNS: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (
        re.compile(r"maximum (context|model) length|context (length|window|size|limit)|prompt is too long"),
        ContextTooLong,
    ),
    (
        re.compile(
            r"(invalid|incorrect|missing|wrong)\b.{0,40}\bapi[ _-]?key|api[ _-]?key\b.{0,40}\b(in|not )valid"
        ),
        BackendAuth,
    ),
    (re.compile(r"credit balance is too low"), QuotaExhausted),
    # llama.cpp, for a model without image or audio support, with status 500.
    (re.compile(r"(image|audio|video) input is not supported"), RequestRefused),
    (re.compile(r"server busy|maximum pending requests"), BackendOverloaded),
    (re.compile(r"^model: "), ModelMissing),
    (re.compile(r"\bmodel\b.{0,200}(does not exist|not found|not exist|is not available)"), ModelMissing),
)
"""Patterns in the message, in lower case, for errors that have no code of their own."""

STATUS_ERRORS: Final[Mapping[int, ErrorClass]] = {
    401: BackendAuth,
    402: QuotaExhausted,
    403: BackendAuth,
    404: ProtocolViolation,
    405: ProtocolViolation,
    408: BackendTimeout,
    429: RateLimited,
    503: BackendOverloaded,
    504: BackendTimeout,
    529: BackendOverloaded,
}
"""Status → error class, where neither code nor message decides."""
STATUS_CLASS_ERRORS: Final[Mapping[int, ErrorClass]] = {
    2: ProtocolViolation,
    3: ProtocolViolation,
    4: RequestRefused,
    5: BackendFailed,
}
"""First digit of a status → the same."""

INFORMATIVE_STATUSES: Final = frozenset({400, 403, 404, 413, 422, 500})
"""Statuses whose message says more than the status itself."""
MAX_MESSAGE_CHARACTERS: Final = 300
"""Characters of a vendor's message that are passed on."""


class ErrorMapper:
    """Maps the errors of one backend. It knows the backend's secrets, to redact them from messages."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._redactor = Redactor(secrets)

    def from_response(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
        """The error of a response whose status is not 200."""
        seconds = retry_after(headers, time.time())
        if 300 <= status < 400:
            return ProtocolViolation(
                f"HTTP {status}: redirects are not followed, since the key must not go to another host"
            )
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._model_error(status, "", self._describe(body, headers), seconds)
        return self._model_error(status, *_code_and_message(payload), seconds)

    def from_payload(self, payload: Mapping[str, Any]) -> ModelError:
        """The error that a stream sends after a 200, in place of a part of the reply."""
        code, text = _code_and_message(payload)
        return self._model_error(int(code) if re.fullmatch(r"[45]\d\d", code) else 500, code, text, None)

    def from_unparsable(self, body: bytes, headers: Mapping[str, str]) -> ModelError:
        """The error of a 200 whose body cannot be parsed."""
        return ProtocolViolation("the response cannot be parsed", quote=self._describe(body, headers))

    def sanitize(self, text: str) -> str:
        """A vendor's text as one short line without secrets."""
        line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        # Before truncation, which could leave half a key that the pattern no longer recognizes.
        line = self._redactor.text(line)
        return line if len(line) <= MAX_MESSAGE_CHARACTERS else f"{line[:MAX_MESSAGE_CHARACTERS]}…"

    def _model_error(self, status: int, code: str, text: str, seconds: float | None) -> ModelError:
        error_class = _classify(status, code, text)
        # The message may quote a rejected key in a masked form that the redactor does not recognize.
        message = "" if issubclass(error_class, BackendAuth) else self.sanitize(text)
        return error_class(f"HTTP {status}", quote=message, retry_after=seconds)

    def _describe(self, body: bytes, headers: Mapping[str, str]) -> str:
        text = body.decode("utf-8", "replace")
        if "html" in headers.get("content-type", "") or text.lstrip()[:1] == "<":
            title = re.search(r"<title[^>]*>(.{0,200}?)</title>", text, re.IGNORECASE | re.DOTALL)
            return self.sanitize("an HTML page" + (f" ({title[1]})" if title else ""))
        return self.sanitize(text) or "an empty body"


def _classify(status: int, code: str, text: str) -> ErrorClass:
    known = ERROR_CODES.get(code.lower())
    if known is not None and known is not BackendFailed:
        return known
    if status in INFORMATIVE_STATUSES:
        lower = text.lower()
        for pattern, error_class in MESSAGE_PATTERNS:
            if pattern.search(lower):
                return error_class
    # A code that only says "server error" comes after the message, which may say more.
    return known or STATUS_ERRORS.get(status) or STATUS_CLASS_ERRORS.get(status // 100, ProtocolViolation)


def _code_and_message(payload: Any) -> tuple[str, str]:
    """The code and the message of an error, wherever in the payload they are."""
    if isinstance(payload, list) and payload:
        payload = payload[0]  # Gemini, also through its Chat Completions endpoint
    if not isinstance(payload, Mapping):
        return "", str(payload)
    error = payload.get("error", payload)
    if not isinstance(error, Mapping):
        return "", str(error)
    details = error.get("details")
    specific = details.get("error_code") if isinstance(details, Mapping) else None  # Anthropic
    codes = [str(each) for each in (specific, error.get("code"), error.get("type")) if each]
    known = next((each for each in codes if each.lower() in ERROR_CODES), None)
    text = error.get("message") or error.get("detail") or error.get("msg") or ""
    return known or next(iter(codes), ""), text if isinstance(text, str) else orjson.dumps(text).decode()
