"""Maps a vendor's error response to a ModelError. Codes and messages come before the ambiguous statuses."""

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
    LimitTooSmall,
    ModelError,
    ProtocolViolation,
    ProxyFailed,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http.error_wordings import ERROR_CODES, ErrorClass, class_of_wording
from clawdbot_model_gateway.http.google_errors import error_class_of, retry_delay, rpc_status
from clawdbot_model_gateway.http.retry_after import bounded, nested_headers, retry_after, retry_field

STATUS_ERRORS: Final[Mapping[int, ErrorClass]] = {
    401: BackendAuth,
    402: QuotaExhausted,
    403: BackendAuth,
    404: ProtocolViolation,
    405: ProtocolViolation,
    407: ProxyFailed,
    408: BackendTimeout,
    413: ContextTooLong,
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

MAX_MESSAGE_CHARACTERS: Final = 300
"""Characters of a vendor's message that are passed on."""


class ErrorMapper:
    """Maps the errors of one backend. It knows the backend's secrets, to redact them from messages."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._redactor = Redactor(secrets)

    def from_response(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
        """The error of a response whose status is not 200."""
        if 300 <= status < 400:
            return ProtocolViolation(
                f"HTTP {status}: redirects are not followed, since the key must not go to another host"
            )
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._model_error(status, "", self._describe(body, headers), headers)
        return self._from_json(status, payload, headers)

    def from_payload(self, payload: Mapping[str, Any]) -> ModelError:
        """The error that a stream sends after a 200, in place of a part of the reply."""
        code, _ = _code_and_message(payload)
        return self._from_json(int(code) if re.fullmatch(r"[45]\d\d", code) else 500, payload, {})

    def from_unparsable(self, body: bytes, headers: Mapping[str, str]) -> ModelError:
        """The error of a 200 whose body cannot be parsed."""
        return ProtocolViolation("the response cannot be parsed", quote=self._describe(body, headers))

    def sanitize(self, text: str) -> str:
        """A vendor's text as one short line without secrets."""
        line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        # Before truncation, which could leave half a key that the pattern no longer recognizes.
        line = self._redactor.text(line)
        return line if len(line) <= MAX_MESSAGE_CHARACTERS else f"{line[:MAX_MESSAGE_CHARACTERS]}…"

    def _from_json(self, status: int, payload: Any, headers: Mapping[str, str]) -> ModelError:
        code, text = _code_and_message(payload)
        headers = {**nested_headers(payload), **{name.lower(): each for name, each in headers.items()}}
        google = rpc_status(payload)
        if google is None:
            return self._model_error(status, code, text, headers, retry_field(payload))
        error_class = error_class_of(google)
        # The message may repeat a refused key; a message about the account contains no key.
        hidden = error_class is BackendAuth and "key" in text.lower()
        number = google.get("code")
        summary = f"HTTP {number if isinstance(number, int) else status} {google['status']}"
        delay = retry_delay(payload)
        seconds = retry_after(headers, time.time(), text, status) if delay is None else bounded(delay)
        return error_class(summary, quote="" if hidden else self.sanitize(text), retry_after=seconds)

    def _model_error(
        self,
        status: int,
        code: str,
        text: str,
        headers: Mapping[str, str],
        seconds: float | None = None,
    ) -> ModelError:
        error_class = _classify(status, code, text)
        # The message may quote a rejected key in a masked form that the redactor does not recognize.
        message = "" if issubclass(error_class, BackendAuth) else self.sanitize(text)
        read = retry_after(headers, time.time(), text, status)
        seconds = max((each for each in (read, seconds) if each is not None), default=None)
        return error_class(f"HTTP {status}", quote=message, retry_after=seconds)

    def _describe(self, body: bytes, headers: Mapping[str, str]) -> str:
        text = body.decode("utf-8", "replace")
        if "html" in headers.get("content-type", "") or text.lstrip()[:1] == "<":
            title = re.search(r"<title[^>]*>(.{0,200}?)</title>", text, re.IGNORECASE | re.DOTALL)
            return self.sanitize("an HTML page" + (f" ({title[1]})" if title else ""))
        return self.sanitize(text) or "an empty body"


def _classify(status: int, code: str, text: str) -> ErrorClass:
    known = ERROR_CODES.get(code.lower())
    said = class_of_wording(status, text)
    if said is LimitTooSmall:
        # Its code is that of a rate limit, as if waiting helped.
        return said
    if known is not None and known is not BackendFailed:
        return known
    # A code that only says "server error" comes after the message, which may say more.
    return (
        said
        or known
        or STATUS_ERRORS.get(status)
        or STATUS_CLASS_ERRORS.get(status // 100, ProtocolViolation)
    )


def _code_and_message(payload: Any) -> tuple[str, str]:
    """The code and the message of an error, wherever in the payload they are."""
    if isinstance(payload, list) and payload:
        payload = payload[0]  # Gemini, also through its Chat Completions endpoint
    if not isinstance(payload, Mapping):
        return "", str(payload)
    error = payload.get("error", payload)
    if not isinstance(error, Mapping):
        return str(payload.get("code") or payload.get("error_type") or ""), str(error)
    codes = [
        *(_inside(error, *path) for path in (("details", "error_code"), ("innererror", "code"))),
        *(error.get(name) for name in ("code", "type")),
    ]
    codes = [str(each) for each in codes if each]
    known = next((each for each in codes if each.lower() in ERROR_CODES), None)
    text = error.get("message") or error.get("detail") or error.get("msg") or ""
    text = text if isinstance(text, str) else _joined(text)
    passed_on = _inside(error, "metadata", "raw")
    if passed_on:
        text = f"{text}: {passed_on if isinstance(passed_on, str) else orjson.dumps(passed_on).decode()}"
    return known or next(iter(codes), ""), text


def _joined(details: Any) -> str:
    """FastAPI's violations, each with its place and without the input, which is what we sent."""
    if not isinstance(details, list) or not all(isinstance(each, Mapping) for each in details):
        return orjson.dumps(details).decode()
    places = (each.get("loc") for each in details)
    joined = (".".join(map(str, place)) if isinstance(place, list) else "" for place in places)
    return "; ".join(f"{place}: {each.get('msg')}" for place, each in zip(joined, details, strict=True))


def _inside(error: Mapping[str, Any], *path: str) -> Any:
    """Where Anthropic and Azure have a more specific code, and OpenRouter what its provider said."""
    value: Any = error
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
