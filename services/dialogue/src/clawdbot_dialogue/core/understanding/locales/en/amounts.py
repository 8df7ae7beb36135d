"""English lengths of time and sums of money: "an hour and a half", "30 minutes"; "$30", "5 euros"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.understanding.locale import Found
from clawdbot_dialogue.core.understanding.matching import lengths

_SECONDS: Mapping[str, int] = {
    "second": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86_400, "night": 86_400, "week": 604_800,
}  # fmt: skip
_LENGTH = re.compile(
    r"(?<![\w.,:/])(?P<count>\d{1,6}(?:\.\d{1,3})?|an?|half an?)(?P<more> and a half)? "
    rf"(?P<unit>{'|'.join(_SECONDS)})s?(?P<after> and a half)?\b"
)
_JOINED = re.compile(r"^,?(?: and)? ?$")
_SIGNS: Mapping[str, str] = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_NAMES: Mapping[str, str] = {
    "dollar": "USD", "buck": "USD", "euro": "EUR", "pound": "GBP", "quid": "GBP", "yuan": "CNY", "yen": "JPY",
    "usd": "USD", "eur": "EUR", "gbp": "GBP", "cny": "CNY", "rmb": "CNY", "jpy": "JPY", "chf": "CHF",
}  # fmt: skip
_SUM = re.compile(
    rf"(?P<sign>[{''.join(_SIGNS)}] ?)?(?<![\d.,:/-])(?P<figures>\d{{1,3}}(?:,\d{{3}})+(?:\.\d{{1,2}})?"
    rf"|\d{{1,12}}(?:\.\d{{1,4}})?)(?: ?(?P<name>{'|'.join(_NAMES)})s?\b)?(?![\d:/%])"
)


def durations(text: str) -> list[Found[float]]:
    """The lengths of time that a text with digits names, in seconds."""
    found = []
    for match in _LENGTH.finditer(text):
        figures = match["count"]
        count = float(figures) if figures[0].isdigit() else 0.5 if figures.startswith("half") else 1.0
        seconds = (count + 0.5 * bool(match["more"] or match["after"])) * _SECONDS[match["unit"]]
        found.append(Found(match.start(), match.end(), seconds))
    return lengths(text, found, _JOINED)


def amounts(text: str) -> list[Found[tuple[float, str]]]:
    """The sums of money that a text with digits names: value and ISO 4217 currency, empty for none said."""
    return [
        Found(
            found.start(),
            found.end(),
            (
                float(found["figures"].replace(",", "")),
                _SIGNS.get((found["sign"] or "").strip()) or _NAMES.get(found["name"] or "", ""),
            ),
        )
        for found in _SUM.finditer(text)
    ]


def show_duration(seconds: float) -> str:
    """Seconds as a person says them."""
    parts, left = [], round(seconds)
    for name in ("day", "hour", "minute", "second"):
        count, left = divmod(left, _SECONDS[name])
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"


def show_amount(value: float, currency: str) -> str:
    """A sum of money as a person reads it."""
    return f"{value:,.0f} {currency}" if value.is_integer() else f"{value:,.2f} {currency}"
