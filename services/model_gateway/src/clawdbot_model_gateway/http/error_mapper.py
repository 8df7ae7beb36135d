"""Maps a vendor's error response to a ModelError. Codes and messages come before the ambiguous statuses."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from clawdbot_servicekit.redaction import Redactor

from clawdbot_model_gateway.core.errors import BackendAuth, LimitTooSmall, ModelError, ProtocolViolation
from clawdbot_model_gateway.http.charsets import charset_of, in_utf8
from clawdbot_model_gateway.http.error_codes import (
    STATUS_CLASS_ERRORS,
    STATUS_ERRORS,
    ErrorClass,
    class_of_codes,
    class_of_vague,
    status_of_types,
)
from clawdbot_model_gateway.http.error_payloads import is_error, load_error, read_error
from clawdbot_model_gateway.http.error_wordings import class_of_wording, never_fits
from clawdbot_model_gateway.http.google_errors import error_class_of, retry_delay, rpc_status
from clawdbot_model_gateway.http.retry_after import bounded, nested_headers, retry_after, retry_field
from clawdbot_model_gateway.http.whole_bodies import BYTE_ORDER_MARK, JSON_BEGINS

MAX_MESSAGE_CHARACTERS: Final = 300
"""Characters of a vendor's message that are passed on."""

_MAY_QUOTE_KEY: Final = re.compile(r"key|token|bearer|secret|credential|password|authorization:|\*\*|\bsk-")
"""What a message says, in lower case, that may repeat a rejected key."""


class ErrorMapper:
    """Maps the errors of one backend. It knows the backend's secrets, to redact them from messages."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._redactor = Redactor(secrets)

    def from_response(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
        """The error of a response that is not a success."""
        if 300 <= status < 400:
            return ProtocolViolation(
                f"HTTP {status}: redirects are not followed, since the key must not go to another host"
            )
        body = in_utf8(body, charset_of(headers.get("content-type", "")))
        try:
            payload = load_error(body)
        except (ValueError, RecursionError):
            # JSON that was cut may repeat the request: its end would have said where.
            cut = body.lstrip(BYTE_ORDER_MARK + b" \t\r\n").startswith(JSON_BEGINS)
            text = "JSON that is not complete" if cut else self._describe(body, headers)
            return self._model_error(status, _header_codes(headers), text, headers)
        return self._from_json(status, payload, headers)

    def from_payload(self, payload: Any) -> ModelError:
        """The error that follows a 200, in place of the reply or of a part of it."""
        return self._from_json(None, payload, {})

    def from_no_reply(self, response: Any, otherwise: str = "the response contains no reply") -> ModelError:
        """The error of a 200 whose JSON is not a reply: another vendor's error, or something else."""
        return self.from_payload(response) if is_error(response) else ProtocolViolation(otherwise)

    def from_unparsable(self, body: bytes, headers: Mapping[str, str]) -> ModelError:
        """The error of a 200 whose body cannot be parsed."""
        body = in_utf8(body, charset_of(headers.get("content-type", "")))
        return ProtocolViolation("the response cannot be parsed", quote=self._describe(body, headers))

    def sanitize(self, text: str) -> str:
        """A vendor's text as one short line without secrets."""
        line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        # Before truncation, which could leave half a key that the pattern no longer recognizes.
        line = self._redactor.text(line)
        return line if len(line) <= MAX_MESSAGE_CHARACTERS else f"{line[:MAX_MESSAGE_CHARACTERS]}…"

    def _from_json(self, status: int | None, payload: Any, headers: Mapping[str, str]) -> ModelError:
        codes, text, said_status = read_error(payload)
        status = status or said_status
        headers = {**nested_headers(payload), **{name.lower(): each for name, each in headers.items()}}
        google = rpc_status(payload)
        if google is None:
            codes += _header_codes(headers)
            return self._model_error(status, codes, text, headers, retry_field(payload))
        error_class = error_class_of(google)
        number = google.get("code")
        summary = f"HTTP {number if isinstance(number, int) else status} {google['status']}"
        delay = retry_delay(payload)
        seconds = retry_after(headers, time.time(), text, status or 0) if delay is None else bounded(delay)
        return error_class(summary, quote=self._quote(error_class, text), retry_after=seconds)

    def _model_error(
        self,
        status: int | None,
        codes: Sequence[str],
        text: str,
        headers: Mapping[str, str],
        seconds: float | None = None,
    ) -> ModelError:
        error_class = class_of_error(status, codes, text)
        summary = "the backend reports an error" if status is None else f"HTTP {status}"
        read = retry_after(headers, time.time(), text, status or status_of_types(codes))
        seconds = max((each for each in (read, seconds) if each is not None), default=None)
        return error_class(summary, quote=self._quote(error_class, text), retry_after=seconds)

    def _quote(self, error_class: ErrorClass, text: str) -> str:
        """The message; nothing of one that may repeat a rejected key, masked past recognition."""
        hidden = issubclass(error_class, BackendAuth) and _MAY_QUOTE_KEY.search(text.lower())
        return "" if hidden else self.sanitize(text)

    def _describe(self, body: bytes, headers: Mapping[str, str]) -> str:
        text = body.decode("utf-8", "replace")
        if "html" in headers.get("content-type", "") or text.lstrip()[:1] == "<":
            title = re.search(r"<title[^>]*>(.{0,200}?)</title>", text, re.IGNORECASE | re.DOTALL)
            return self.sanitize("an HTML page" + (f" ({title[1]})" if title else ""))
        return self.sanitize(text) or "an empty body"


def class_of_error(status: int | None, codes: Sequence[str], text: str) -> ErrorClass:
    """The class of an error: the first of these that says anything decides.

    Args:
        status: of the response; None for an error that follows a 200.
        codes: its codes and types, in lower case.
        text: its message.
    """
    if status is None:
        status = status_of_types(codes)
    return (
        # A limit that is smaller than this request: its code is that of a rate limit, as if waiting helped.
        (LimitTooSmall if never_fits(text) else None)
        or class_of_codes(codes)
        or class_of_wording(status, text)
        or class_of_vague(codes)
        or STATUS_ERRORS.get(status)
        or STATUS_CLASS_ERRORS.get(status // 100, ProtocolViolation)
    )


def _header_codes(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Bedrock's code, which is in a header: "ThrottlingException:http://…"."""
    code = headers.get("x-amzn-errortype", "").partition(":")[0].lower()
    return (code,) if code else ()
