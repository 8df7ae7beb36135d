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
    SYMBOLS,
    format_number,
)
from clawdbot_dialogue.core.language.en.durations import durations
from clawdbot_dialogue.core.language.language_pack import Currencies
from clawdbot_dialogue.core.language.pattern_rules import MoneyMention, alternation, merge_money
from clawdbot_dialogue.core.language.span import Span

_SYMBOLS_AND_CODES: Mapping[str, str] = {**SYMBOLS, **CODES, "¥": "JPY"}
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
"""If several countries use the name, the most common one; a crown or dinar alone is too ambiguous and left
out."""
_SHARED: Mapping[str, Currencies] = {
    "$": DOLLARS, "dollar": DOLLARS, "buck": DOLLARS, "£": POUNDS, "pound": POUNDS, "peso": PESOS,
    "rs": RUPEES, "rs.": RUPEES, "rupee": RUPEES, "fr.": FRANCS, "franc": FRANCS, "¥": ("JPY", "CNY"),
    "p": POUNDS, "penny": POUNDS, "pence": POUNDS,
}  # fmt: skip
"""Symbols and names that several currencies share."""
_MINOR_NAMES: Mapping[str, str] = {
    "cent": "", "c": "", "¢": "", "pence": "GBP", "penny": "GBP", "p": "GBP",
    "euro cent": "EUR", "us cent": "USD",
}  # fmt: skip
"""Names of hundredths → the currency; empty if several currencies use the name."""
_CODES: Mapping[str, str] = {**_SYMBOLS_AND_CODES, **_MINOR_NAMES, **_NAMES}
_SCALES: Mapping[str, int] = {"m": 10**6, "grand": 1000}
"""Multipliers used only for money; the others have already been replaced by digits."""

_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,4})?|\d{1,15}(?:\.\d{1,4})?"
_BARE = r"(?<![a-z\d.,:/-])"
_SUM = re.compile(
    rf"(?:(?P<sign>(?<![a-z])(?:{alternation(_SYMBOLS_AND_CODES)})) ?|{_BARE})"
    rf"(?P<number>{_DIGITS}|an?(?= (?:dollar|buck|euro|pound|quid)\b(?! of\b)))"
    rf"(?: ?(?P<scale>{alternation(_SCALES)})(?![a-z]))?"
    rf"(?: ?(?:(?P<name>{alternation(_NAMES)})s?|(?P<code>{alternation(_SYMBOLS_AND_CODES)}))(?![a-z])"
    r"(?:(?:(?<=[a-z]) |(?<=[^a-z ]))(?P<left>\d\d)(?= ?(?:$|[,.!?;])))?)?"
    r"(?![a-z\d:/%]|[.,]\d)"
)
"""Also 30€50. A minor part without a unit counts only at the end of a clause: "20 pounds fifty"."""
_MINOR = re.compile(
    rf"{_BARE}(?P<number>\d{{1,2}}(?:\.\d)?) ?(?P<name>{alternation(_MINOR_NAMES)})s?(?![a-z])"
)
_JOINED = re.compile(r"^,?(?: and)? ?$")
_COUNTS = re.compile(r" ?(?:people|persons?|guests?|adults?|seats?|of us|o'?clock|[ap]\.?m)\b")


def money(text: str) -> list[Span[tuple[float, Currencies]]]:
    """The sums of money in a text with digits, each with its possible currencies."""
    minors = [
        MoneyMention(
            match.start(), match.end(), float(match["number"]) / 100, _candidates(match["name"]), minor=True
        )
        for match in _MINOR.finditer(text)
    ]
    majors = [each for each in _majors(text) if each.currencies or not _COUNTS.match(text, each.end)]
    return merge_money(text, (*minors, *majors), _JOINED, durations(text))


def _candidates(word: str) -> Currencies:
    code = _CODES.get(word, "")
    return _SHARED.get(word) or ((code,) if code else ())


def _majors(text: str) -> Iterator[MoneyMention]:
    for match in _SUM.finditer(text):
        number = match["number"].replace(",", "")
        value = (float(number) if number[0].isdigit() else 1.0) * _SCALES.get(match["scale"] or "", 1)
        # A name or code is more precise than a symbol: $30 CAD.
        currencies = _candidates(match["name"] or match["code"] or match["sign"] or "")
        if match["left"] and value.is_integer():
            value += int(match["left"]) / 100
        yield MoneyMention(match.start(), match.end(), value, currencies)


def format_money(value: float, currency: str) -> str:
    """A sum of money with its currency: "30.50 EUR"."""
    return f"{format_number(value, currency)} {currency}"
