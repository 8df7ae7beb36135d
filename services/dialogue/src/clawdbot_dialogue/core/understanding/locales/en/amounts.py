"""English sums of money: "$30", "5 euros", "20 dollars and 50 cents", "$3m", "two grand"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clawdbot_dialogue.core.understanding.locale import Found
from clawdbot_dialogue.core.understanding.locales.en.durations import durations
from clawdbot_dialogue.core.understanding.matching import Sum, sums

_SIGNS: Mapping[str, str] = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_NAMES: Mapping[str, str] = {
    "dollar": "USD", "buck": "USD", "euro": "EUR", "pound": "GBP", "quid": "GBP", "yuan": "CNY", "yen": "JPY",
    "usd": "USD", "eur": "EUR", "gbp": "GBP", "cny": "CNY", "rmb": "CNY", "jpy": "JPY", "chf": "CHF",
}  # fmt: skip
_MINOR_NAMES: Mapping[str, str] = {
    "cent": "", "c": "", "¢": "", "pence": "GBP", "penny": "GBP", "p": "GBP",
    "euro cent": "EUR", "us cent": "USD",
}  # fmt: skip
"""The hundredth of a currency; empty where several call it so."""
_SCALES: Mapping[str, int] = {"m": 10**6, "grand": 1000}
"""Only of money; all else that multiplies is figures by now."""


def _any(words: Mapping[str, object]) -> str:
    return "|".join(re.escape(each) for each in sorted(words, key=len, reverse=True))


_FIGURES = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,15}(?:\.\d{1,4})?"
_BARE = r"(?<![a-z\d.,:/-])"
_SUM = re.compile(
    rf"(?:(?P<sign>{_any(_SIGNS)}) ?|{_BARE})"
    rf"(?P<figures>{_FIGURES}|an?(?= (?:dollar|buck|euro|pound|quid)\b(?! of\b)))"
    rf"(?: ?(?P<scale>{_any(_SCALES)})(?![a-z]))?"
    rf"(?: ?(?P<name>{_any(_NAMES)})s?(?![a-z])(?: (?P<left>\d\d)(?= ?(?:$|[,.!?;])))?)?"
    r"(?![a-z\d:/%]|[.,-]\d)"
)
""" "20 pounds fifty" goes no further: what comes then would be counted."""
_MINOR = re.compile(rf"{_BARE}(?P<figures>\d{{1,2}}(?:\.\d)?) ?(?P<name>{_any(_MINOR_NAMES)})s?(?![a-z])")
_JOINED = re.compile(r"^,?(?: and)? ?$")
_COUNTS = re.compile(r" ?(?:people|persons?|guests?|adults?|seats?|of us|o'?clock|[ap]\.?m)\b")


def amounts(text: str) -> list[Found[tuple[float, str]]]:
    """The sums of money that a text with digits names: value and ISO 4217 currency, empty for none said."""
    minors = [
        Sum(
            match.start(), match.end(), float(match["figures"]) / 100, _MINOR_NAMES[match["name"]], minor=True
        )
        for match in _MINOR.finditer(text)
    ]
    majors = [each for each in _majors(text) if each.currency or not _COUNTS.match(text, each.end)]
    return sums(text, (*minors, *majors), _JOINED, durations(text))


def _majors(text: str) -> Iterator[Sum]:
    for match in _SUM.finditer(text):
        figures = match["figures"].replace(",", "")
        value = (float(figures) if figures[0].isdigit() else 1.0) * _SCALES.get(match["scale"] or "", 1)
        # What is written out says more than a sign: $30 CAD.
        currency = _NAMES.get(match["name"] or "") or _SIGNS.get(match["sign"] or "", "")
        if match["left"] and value.is_integer():
            value += int(match["left"]) / 100
        yield Sum(match.start(), match.end(), value, currency)


def show_amount(value: float, currency: str) -> str:
    """A sum of money as a person reads it."""
    return f"{value:,.0f} {currency}" if value.is_integer() else f"{value:,.2f} {currency}"
