"""What a vendor's error means. Vendors use one status for many things, so codes and sentences come first.

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
    ModelFailure,
    ModelMissing,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http.retry_after import retry_after

Kind = type[ModelFailure]

CODES: Final[Mapping[str, Kind]] = {
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
"""`code` or `type` of an error, in lower case → what it means."""

PHRASES: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
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
    # llama.cpp, of a model without eyes or ears, with status 500.
    (re.compile(r"(image|audio|video) input is not supported"), RequestRefused),
    (re.compile(r"server busy|maximum pending requests"), BackendOverloaded),
    (re.compile(r"^model: "), ModelMissing),
    (re.compile(r"\bmodel\b.{0,200}(does not exist|not found|not exist|is not available)"), ModelMissing),
)
"""What else tells a refusal's meaning, where a vendor has no code for it."""

STATUSES: Final[Mapping[int, Kind]] = {
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
"""Status → what it means where nothing else tells."""
CLASSES: Final[Mapping[int, Kind]] = {
    2: ProtocolViolation,
    3: ProtocolViolation,
    4: RequestRefused,
    5: BackendFailed,
}
"""Hundreds of a status → the same."""

SPEAKING: Final = frozenset({400, 403, 404, 413, 422, 500})
"""Statuses of which the sentence tells more than the status."""
LONGEST: Final = 300
"""Characters of a vendor's sentence that are passed on."""


class VendorErrors:
    """Reads the errors of one backend; knows its secrets, to keep them out of what it says."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._redactor = Redactor(secrets)

    def answered(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelFailure:
        """What an answer other than 200 means."""
        wait = retry_after(headers, time.time())
        if 300 <= status < 400:
            return ProtocolViolation(f"it answered {status} and sends us elsewhere, where no key is sent")
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._failure(status, "", self._page(body, headers), wait)
        return self._failure(status, *_said(payload), wait)

    def in_band(self, payload: Mapping[str, Any]) -> ModelFailure:
        """What an error means that came where a piece of the reply should be, after a 200."""
        code, text = _said(payload)
        return self._failure(int(code) if re.fullmatch(r"[45]\d\d", code) else 500, code, text, None)

    def garbled(self, body: bytes, headers: Mapping[str, str]) -> ModelFailure:
        """What a 200 means whose content cannot be read."""
        return ProtocolViolation(f"it answered {self._page(body, headers)}")

    def clean(self, text: str) -> str:
        """A vendor's text in one line, short and without secrets."""
        line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        # Before the cut, which could leave half a key that the pattern no longer knows.
        line = self._redactor.text(line)
        return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"

    def _failure(self, status: int, code: str, text: str, wait: float | None) -> ModelFailure:
        kind = _kind(status, code, text)
        # A refused key may stand in the sentence, mangled so that nothing recognises it.
        said = "" if issubclass(kind, BackendAuth) else self.clean(text)
        shown = f"it answered {status}"
        return kind(f"{shown}: {said}" if said else shown, retry_after=wait)

    def _page(self, body: bytes, headers: Mapping[str, str]) -> str:
        text = body.decode("utf-8", "replace")
        if "html" in headers.get("content-type", "") or text.lstrip()[:1] == "<":
            title = re.search(r"<title[^>]*>(.{0,200}?)</title>", text, re.IGNORECASE | re.DOTALL)
            return self.clean("an HTML page" + (f" ({title[1]})" if title else ""))
        return self.clean(text) or "nothing"


def _kind(status: int, code: str, text: str) -> Kind:
    known = CODES.get(code.lower())
    if known is not None and known is not BackendFailed:
        return known
    if status in SPEAKING:
        lower = text.lower()
        for pattern, kind in PHRASES:
            if pattern.search(lower):
                return kind
    # "It broke" is a code that leaves it to the sentence to say more.
    return known or STATUSES.get(status) or CLASSES.get(status // 100, ProtocolViolation)


def _said(payload: Any) -> tuple[str, str]:
    """The code and the sentence of an error, wherever in the payload they are."""
    if isinstance(payload, list) and payload:
        payload = payload[0]  # Gemini's way, behind its Chat Completions too
    if not isinstance(payload, Mapping):
        return "", str(payload)
    error = payload.get("error", payload)
    if not isinstance(error, Mapping):
        return "", str(error)
    details = error.get("details")
    finer = details.get("error_code") if isinstance(details, Mapping) else None  # Anthropic's
    codes = [str(each) for each in (finer, error.get("code"), error.get("type")) if each]
    known = next((each for each in codes if each.lower() in CODES), None)
    text = error.get("message") or error.get("detail") or error.get("msg") or ""
    return known or next(iter(codes), ""), text if isinstance(text, str) else orjson.dumps(text).decode()
