"""Reads a vendor's error: its codes, its message and its status, wherever in the JSON they are.

What the error repeats of our request is left out: it says nothing about the error, and belongs to the caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

MAX_DEPTH: Final = 6
"""Of objects in objects, and of JSON in a text in JSON, which routers pass on."""

_MESSAGES: Final = (
    *(
        "message",
        "detail",
        "msg",
        "error_message",
        "errormessage",
        "error_msg",
        "status_msg",
        "reason",
        "title",
        "error_description",
        "description",
        "faultstring",
    ),
    *("error", "errors", "raw"),
)
"""Fields that contain the message, in lower case; the first that has one. All others may be what we sent."""
_CODES: Final = ("error_code", "errorcode", "code", "type", "__type", "error_type", "status_code")
"""Fields that contain a code, in lower case."""
_INNER: Final = ("details", "innererror", "inner_error")
"""Where Anthropic and Azure have a more specific code."""
_ENVELOPES: Final = ("error", "base_resp", "x_groq", "response", "errors", "fault")
"""Fields around an error, in lower case: of most; MiniMax, Groq, Tencent, Cloudflare, Apigee."""
_STATUS_FIELDS: Final = ("code", "status", "status_code", "statuscode", "http_status", "http_code")
_ECHO: Final = re.compile(
    r"[\s,\[]*(['\"](input|body|failed_generation)['\"]\s*:|\binput_value\s*=).*", re.DOTALL
)
"""Where pydantic, in the words of vLLM and LiteLLM, begins to repeat what was sent, inside the message."""
_FRAME: Final = re.compile(r"\A(?:(?:event|id|retry)?:[^\n]*\n)*(?:data|error):\s*")
"""What is around the JSON of an error that comes as an event."""
_IS_CODE: Final = re.compile(r"[A-Za-z]+(_[A-Za-z]+)+")
"""A message that is nothing but a code."""
_RAISED: Final = re.compile(r"\blitellm\.(\w{1,40})")
"""The exception that LiteLLM names in its messages."""
_SUCCESS: Final = frozenset({"0", "200", "ok", "success", "none", "null"})
"""Codes of a response that reports success, and errors that are none."""


class VendorError(NamedTuple):
    """An error as a vendor describes it."""

    codes: tuple[str, ...]
    """In lower case, the most specific ones first."""
    text: str
    status: int | None
    """An HTTP status that it contains."""


def load_error(body: bytes) -> Any:
    """The JSON in a body, also as an event, with a byte order mark, in UTF-16, with NaN or with more behind.

    Raises:
        ValueError: it is none.
    """
    text = _FRAME.sub("", body.decode(json.detect_encoding(body), "replace").lstrip())
    return json.JSONDecoder(strict=False).raw_decode(text)[0]


def read_error(payload: Any) -> VendorError:
    """What an error says, in any of the vendors' forms."""
    payload = _unwrapped(payload)
    error = _error_in(payload)
    codes = dict.fromkeys([*_codes(error), *(_codes(payload) if error is not payload else ())])
    status = _status(error) or _status(payload)
    text = _text(error)
    codes |= dict.fromkeys(found.lower() for found in _RAISED.findall(text))
    if _IS_CODE.fullmatch(text):
        codes[text.lower()] = None
    parts: tuple[str, ...] = ()
    for code in codes:
        parts += (code, *(each for each in re.split(r"[.#:/]", code) if each != code))
    return VendorError(parts, text, status)


def is_error(payload: Any) -> bool:
    """Whether a response without a reply is an error in a form of another vendor."""
    error = _error_in(payload)
    codes = [*_codes(error)]
    return isinstance(error, Mapping) and bool(_text(error)) and not (codes and _SUCCESS.issuperset(codes))


def is_coded_error(payload: Any) -> bool:
    """Whether a record with an empty reply is an error as well: a message alone may say anything."""
    return is_error(payload) and any(_codes(_error_in(payload)))


def is_certain_error(payload: Any) -> bool:
    """Whether a record is an error in a form of another vendor even in the middle of a reply."""
    return is_error(payload) and (
        bool(_fields(payload).get("errors")) or read_error(payload).status is not None
    )


def reports_error(holder: Mapping[str, Any]) -> bool:
    """Whether the `error` of an object is one: not success, and not without a word."""
    error = holder.get("error")
    if not isinstance(error, Mapping):
        return bool(error) and str(error).lower() not in _SUCCESS
    codes = [*_codes(error)]
    return any(error.values()) and not (codes and _SUCCESS.issuperset(codes))


def _error_in(payload: Any) -> Any:
    """The object that describes the error: the payload itself where nothing is around it."""
    for _ in range(MAX_DEPTH):
        payload = _unwrapped(payload)
        fields = _fields(payload)
        inner = next((_unwrapped(fields[name]) for name in _ENVELOPES if fields.get(name)), None)
        if not isinstance(inner, Mapping):
            break
        payload = inner
    return payload


def _unwrapped(value: Any) -> Any:
    """The first of a list, as Gemini sends it; the JSON in a text."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and "loc" not in value[0]:
        return value[0]
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            inner = load_error(value.encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return value
        if isinstance(inner, Mapping) or (
            isinstance(inner, list) and inner and isinstance(inner[0], Mapping)
        ):
            return _unwrapped(inner)
    return value


def _fields(value: Any) -> dict[str, Any]:
    return {str(name).lower(): each for name, each in value.items()} if isinstance(value, Mapping) else {}


def _codes(value: Any) -> Iterator[str]:
    fields = _fields(value)
    for name in _INNER:
        if inner := _fields(_unwrapped(fields.get(name))):
            yield from _codes(inner)
    for name in _CODES:
        code = fields.get(name)
        if isinstance(code, str | int) and not isinstance(code, bool) and code != "":
            yield str(code).lower()
    nested = _unwrapped(_fields(fields.get("metadata")).get("raw", fields.get("message")))
    if isinstance(nested, Mapping):
        yield from _codes(_error_in(nested))


def _status(value: Any) -> int | None:
    fields = _fields(value)
    for name in _STATUS_FIELDS:
        if re.fullmatch(r"[45]\d\d", str(fields.get(name))):
            return int(fields[name])
    return None


def _text(value: Any, depth: int = 0) -> str:
    """The messages in a value, without anything else that it contains."""
    value = _unwrapped(value)
    if isinstance(value, str):
        return _ECHO.sub("", value)
    if depth == MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_text(each, depth + 1) for each in value)))
    fields = _fields(value)
    said = (_text(fields[name], depth + 1) for name in _MESSAGES if name in fields)
    found = next(filter(None, said), "")
    place = fields.get("loc")
    if found and isinstance(place, list):
        found = f"{'.'.join(map(str, place))}: {found}"  # FastAPI
    metadata = _fields(fields.get("metadata"))
    # What the vendor behind OpenRouter says.
    passed_on = _text(metadata["raw"], depth + 1) if metadata.get("raw") else ""
    return f"{found}: {passed_on}" if passed_on else found
