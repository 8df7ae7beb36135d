"""Reads when to retry from an error: from its headers, its message and its fields.

Retry-After (RFC 9110, 10.2.3) may be a number, a date or a duration; messages say "try again in 1m0.363s";
other headers say when a limit is reset: OpenAI's and Groq's `x-ratelimit-reset-*`,
`anthropic-ratelimit-*-reset`, and OpenRouter's `x-ratelimit-reset`. The longest time wins, of what is about
the limit that was hit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

MAX_RETRY_AFTER: Final = 86_400.0
"""Seconds. Longer times are cut to one day."""
TOO_MANY_REQUESTS: Final = 429
"""The status after which headers about limits count: some vendors send them with every response."""
EPOCH_SECONDS: Final = 1e9
"""A larger number is no duration but seconds since 1970."""
EPOCH_MILLISECONDS: Final = 1e12
"""A larger number is milliseconds since 1970."""
MAX_READ_CHARACTERS: Final = 2000
"""Characters of a message that are read."""

_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNIT: Final = (
    r"(?:ms|millis(?:econds?)?|milliseconds?|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?"
    r"|毫秒|秒钟?|分钟?|个?小时|天)(?![a-z])"
)
_CHINESE: Final[Mapping[str, str]] = {"毫": "ms", "秒": "s", "分": "m", "个": "h", "小": "h", "天": "d"}
_NUMBER: Final = r"\d{1,12}(?:[.,]\d{1,12})?"
_DURATION: Final = rf"{_NUMBER}\s?{_UNIT}(?:(?:,|\s|and){{0,5}}{_NUMBER}\s?{_UNIT}){{0,4}}"
_STEP: Final = re.compile(rf"({_NUMBER})\s?({_UNIT})")
_TIMESTAMP: Final = r"\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?\s?(?:z|utc|gmt|[+-]\d\d:?\d\d)?"
_HTTP_DATE: Final = r"\d\d [a-z]{3} \d{4} \d\d:\d\d:\d\d gmt"
_ONE: Final = re.compile(r"\b(?:an?|one) (?=(?:second|minute|hour|day)\b)")
_LEAD: Final = (
    r"(?:try(?:ing)?(?: \w{1,20}){0,3} again|retry(?:ing)?|\bwait|\bresets?|\brenews?|\brefresh(?:es)?"
    r"|\bavailable|cool-?down|\bback(?:ing)?[ -]?off|\ballowed (?:again )?in"
    r"|\banother (?:request|call|attempt))"
)
"""What comes before a time to wait."""
_PROSE: Final = re.compile(
    rf"{_LEAD}[^\d]{{0,40}}?(?P<when>{_TIMESTAMP}|{_HTTP_DATE}|{_DURATION})|(?P<chinese>{_DURATION})\s?(?:之?后|以后)"
    # Only where a sentence begins: "timed out after 60 s, please retry" says nothing about when.
    rf"|(?:\A|[.;:!?\n])\s*after (?P<after>{_DURATION})(?=[^.]{{0,30}}\b(?:try|retry)\b)"
)
_BARE: Final = re.compile(
    r"retry[ _-]?after(?:[ _-]?(?P<unit>ms))?\W{0,4}"
    rf"(?P<number>{_NUMBER})(?![\w:-]|[.,]\d|\s?{_UNIT}|\s[a-z]{{3}}\s\d)"
)
"""A number without a unit is seconds, or what the name says."""

_KINDS: Final[Mapping[str, re.Pattern[str]]] = {
    "requests": re.compile(r"requests? per|\br(?:pm|pd|ps)\b|request limit"),
    "tokens": re.compile(r"tokens? per|\bt(?:pm|pd|ps)\b|token limit"),
}
"""What a limit counts → how a message names it."""
_FIELDS: Final[Mapping[str, float]] = {
    "retry_after_ms": 0.001,
    "retry_after": 1.0,
    "retry_after_seconds": 1.0,
    "estimated_time": 1.0,  # Hugging Face, while it loads the model
}
"""Fields of an error in JSON that say when to retry → seconds of their unit."""
_RESET: Final = re.compile(
    r"(?P<prefix>x-ratelimit-|anthropic-ratelimit-|ratelimit-|x-rate-limit-)(?P<rest>.{0,40})"
)


def retry_after(
    headers: Mapping[str, str], now: float, message: str = "", status: int = TOO_MANY_REQUESTS
) -> float | None:
    """Seconds to wait, 0 for at once; None where nothing says it.

    Args:
        headers: of the response, looked up by lower-case name.
        now: seconds since 1970, for forms that are dates.
        message: of the error.
        status: of the response.
    """
    text = message[:MAX_READ_CHARACTERS].lower()
    times = [_of_header(headers, now), *_of_prose(text, now)]
    if status == TOO_MANY_REQUESTS:
        times += _of_limits(headers, text, now)
    known = [each for each in times if each is not None]
    return bounded(max(known)) if known else None


def retry_field(payload: Any) -> float | None:
    """Seconds, from a field of an error in JSON; None without one."""
    error = payload.get("error", payload) if isinstance(payload, dict) else None
    places = [error, error.get("metadata")] if isinstance(error, dict) else [payload]
    for place in places:
        for name, unit in _FIELDS.items():
            value = place.get(name) if isinstance(place, dict) else None
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return bounded(value * unit)
    return None


def nested_headers(payload: Any) -> dict[str, str]:
    """Headers of the vendor behind a router, which OpenRouter passes on in an error's metadata."""
    error = payload.get("error") if isinstance(payload, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    items = headers.items() if isinstance(headers, dict) else ()
    return {str(name).lower(): str(value) for name, value in items}


def bounded(seconds: float) -> float:
    """The time, within a day and not in the past."""
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _of_header(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    return _time_in(text.lower(), now) if seconds is None else seconds


def _of_prose(text: str, now: float) -> Iterator[float | None]:
    text = _ONE.sub("1 ", text)
    for found in _PROSE.finditer(text):
        yield _time_in(found["when"] or found["chinese"] or found["after"], now)
    for found in _BARE.finditer(text):
        yield float(found["number"].replace(",", ".")) * _UNITS[found["unit"] or "s"]


def _of_limits(headers: Mapping[str, str], text: str, now: float) -> Iterator[float | None]:
    """When the limits are reset that the message names, or of which nothing is left."""
    named = {kind for kind, pattern in _KINDS.items() if pattern.search(text)}
    for name, value in headers.items():
        found = _RESET.fullmatch(name.lower())
        if found is None or "reset" not in found["rest"]:
            continue
        limit = found["rest"].replace("reset", "").strip("-")
        remaining = headers.get(name.lower().replace("reset", "remaining"))
        kind = next((each for each in _KINDS if each in limit), "")
        if (kind in named) or remaining == "0" or (remaining is None and not (named and kind)):
            yield _reset(value.strip().lower(), now)


def _reset(text: str, now: float) -> float | None:
    number = _number(text)
    if number is None:
        return _time_in(text, now)
    if number >= EPOCH_MILLISECONDS:
        return max(0.0, number / 1000 - now)
    return max(0.0, number - now) if number >= EPOCH_SECONDS else number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else max(0.0, number)


def _time_in(text: str, now: float) -> float | None:
    """Seconds of a duration such as "1m0.363s", or until a date of RFC 9110 or RFC 3339."""
    if re.fullmatch(_DURATION, text.strip()):
        return sum(
            float(number.replace(",", ".")) * _UNITS[_unit(unit)] for number, unit in _STEP.findall(text)
        )
    try:
        if re.fullmatch(_TIMESTAMP, text.strip()):
            return max(0.0, _rfc_3339(text.strip()).timestamp() - now)
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _unit(word: str) -> str:
    """The key of a unit: "ms" for milliseconds, else its first letter."""
    return _CHINESE.get(word[0]) or ("ms" if word.startswith(("ms", "mil")) else word[0])


def _rfc_3339(text: str) -> datetime:
    """The date; in UTC if it has no time zone."""
    text = re.sub(r"\s?(z|utc|gmt)$", "+00:00", text)
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    date = datetime.fromisoformat(text)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
