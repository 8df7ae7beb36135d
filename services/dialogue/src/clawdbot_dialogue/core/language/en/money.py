"""English sums of money: "$30", "30 EUR", "5 euros", "20 dollars and 50 cents", "$3m", "two grand"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clawdbot_dialogue.core.language.currencies import (
    CODES,
    DOLLARS,
    FRANCS,
    PESOS,
    POUNDS,
    RUPEES,
    SIGNS,
    show_figures,
)
from clawdbot_dialogue.core.language.en.durations import durations
from clawdbot_dialogue.core.language.language_pack import Currencies
from clawdbot_dialogue.core.language.pattern_rules import Sum, any_of, sums
from clawdbot_dialogue.core.language.span import Found

_SHORT: Mapping[str, str] = {**SIGNS, **CODES, "¥": "JPY"}
_NAMES: Mapping[str, str] = {
    "dollar": "USD", "buck": "USD", "us dollar": "USD", "american dollar": "USD", "canadian dollar": "CAD",
    "australian dollar": "AUD", "aussie dollar": "AUD", "new zealand dollar": "NZD", "kiwi dollar": "NZD",
    "hong kong dollar": "HKD", "singapore dollar": "SGD", "taiwan dollar": "TWD", "new taiwan dollar": "TWD",
    "euro": "EUR", "pound": "GBP", "quid": "GBP", "pound sterling": "GBP", "pounds sterling": "GBP",
    "sterling": "GBP", "british pound": "GBP", "egyptian pound": "EGP", "franc": "CHF", "swiss franc": "CHF",
    "yuan": "CNY", "renminbi": "CNY", "kuai": "CNY", "yen": "JPY", "won": "KRW", "rupee": "INR",
    "indian rupee": "INR", "pakistani rupee": "PKR", "rupiah": "IDR", "baht": "THB", "dong": "VND",
    "ringgit": "MYR", "philippine peso": "PHP", "peso": "MXN", "mexican peso": "MXN",
    "argentine peso": "ARS", "chilean peso": "CLP", "colombian peso": "COP", "reais": "BRL",
    "brazilian real": "BRL", "rouble": "RUB", "ruble": "RUB", "hryvnia": "UAH", "zloty": "PLN",
    "złoty": "PLN", "koruna": "CZK", "forint": "HUF", "lira": "TRY", "shekel": "ILS", "rand": "ZAR",
    "naira": "NGN", "dirham": "AED", "saudi riyal": "SAR", "kuwaiti dinar": "KWD", "swedish krona": "SEK",
    "swedish kronor": "SEK", "norwegian krone": "NOK", "norwegian kroner": "NOK", "danish krone": "DKK",
    "danish kroner": "DKK",
}  # fmt: skip
"""Where several countries call theirs so, the one that is meant most; a crown or dinar alone is left open."""
_SHARED: Mapping[str, Currencies] = {
    "$": DOLLARS, "dollar": DOLLARS, "buck": DOLLARS, "£": POUNDS, "pound": POUNDS, "peso": PESOS,
    "rs": RUPEES, "rs.": RUPEES, "rupee": RUPEES, "fr.": FRANCS, "franc": FRANCS, "¥": ("JPY", "CNY"),
    "p": POUNDS, "penny": POUNDS, "pence": POUNDS,
}  # fmt: skip
"""Signs and names that several currencies have."""
_MINOR_NAMES: Mapping[str, str] = {
    "cent": "", "c": "", "¢": "", "pence": "GBP", "penny": "GBP", "p": "GBP",
    "euro cent": "EUR", "us cent": "USD",
}  # fmt: skip
"""The hundredth of a currency; empty where several call it so."""
_CODES: Mapping[str, str] = {**_SHORT, **_MINOR_NAMES, **_NAMES}
_SCALES: Mapping[str, int] = {"m": 10**6, "grand": 1000}
"""Only of money; all else that multiplies is figures by now."""

_FIGURES = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,4})?|\d{1,15}(?:\.\d{1,4})?"
_BARE = r"(?<![a-z\d.,:/-])"
_SUM = re.compile(
    rf"(?:(?P<sign>(?<![a-z])(?:{any_of(_SHORT)})) ?|{_BARE})"
    rf"(?P<figures>{_FIGURES}|an?(?= (?:dollar|buck|euro|pound|quid)\b(?! of\b)))"
    rf"(?: ?(?P<scale>{any_of(_SCALES)})(?![a-z]))?"
    rf"(?: ?(?:(?P<name>{any_of(_NAMES)})s?|(?P<code>{any_of(_SHORT)}))(?![a-z])"
    r"(?:(?:(?<=[a-z]) |(?<=[^a-z ]))(?P<left>\d\d)(?= ?(?:$|[,.!?;])))?)?"
    r"(?![a-z\d:/%]|[.,]\d)"
)
"""Also 30€50. "20 pounds fifty" goes no further: what comes then would be counted."""
_MINOR = re.compile(rf"{_BARE}(?P<figures>\d{{1,2}}(?:\.\d)?) ?(?P<name>{any_of(_MINOR_NAMES)})s?(?![a-z])")
_JOINED = re.compile(r"^,?(?: and)? ?$")
_COUNTS = re.compile(r" ?(?:people|persons?|guests?|adults?|seats?|of us|o'?clock|[ap]\.?m)\b")


def amounts(text: str) -> list[Found[tuple[float, Currencies]]]:
    """The sums of money that a text with digits names, each with what it may be in."""
    minors = [
        Sum(match.start(), match.end(), float(match["figures"]) / 100, _meant(match["name"]), minor=True)
        for match in _MINOR.finditer(text)
    ]
    majors = [each for each in _majors(text) if each.currencies or not _COUNTS.match(text, each.end)]
    return sums(text, (*minors, *majors), _JOINED, durations(text))


def _meant(word: str) -> Currencies:
    code = _CODES.get(word, "")
    return _SHARED.get(word) or ((code,) if code else ())


def _majors(text: str) -> Iterator[Sum]:
    for match in _SUM.finditer(text):
        figures = match["figures"].replace(",", "")
        value = (float(figures) if figures[0].isdigit() else 1.0) * _SCALES.get(match["scale"] or "", 1)
        # What is written out says more than a sign: $30 CAD.
        currencies = _meant(match["name"] or match["code"] or match["sign"] or "")
        if match["left"] and value.is_integer():
            value += int(match["left"]) / 100
        yield Sum(match.start(), match.end(), value, currencies)


def show_amount(value: float, currency: str) -> str:
    """A sum of money as a person reads it."""
    return f"{show_figures(value, currency)} {currency}"
