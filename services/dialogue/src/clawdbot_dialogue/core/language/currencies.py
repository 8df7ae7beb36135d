"""Currencies: which there are, how many digits their sums have, and what they are called in every language.

ISO 4217's own table tells the first two. It takes 6 ms to load, so that is done when it is first needed: most
flows ask for no sum.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping


@functools.cache
def decimals() -> Mapping[str, int]:
    """Every currency that sums are in → its digits behind the point: two for EUR, none for JPY.

    Gold, testing codes and the like, for which ISO 4217 tells no digits, are none.
    """
    from iso4217 import Currency

    return {each.code: each.exponent for each in Currency if each.exponent is not None}


def show_figures(value: float, currency: str) -> str:
    """The figures of a sum, with the digits of its currency unless it is whole: "1,200", "30.50", "1.250"."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.{decimals().get(currency, 2)}f}"


SIGNS: Mapping[str, str] = {
    "$": "USD", "us$": "USD", "c$": "CAD", "ca$": "CAD", "a$": "AUD", "au$": "AUD", "nz$": "NZD",
    "hk$": "HKD", "s$": "SGD", "nt$": "TWD", "r$": "BRL", "mx$": "MXN",
    "€": "EUR", "£": "GBP", "₹": "INR", "rs": "INR", "rs.": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY",
    "₫": "VND", "₪": "ILS", "฿": "THB", "₱": "PHP", "₴": "UAH", "zł": "PLN", "kč": "CZK", "fr.": "CHF",
}  # fmt: skip
"""In lower case, as folded texts are; before a figure or behind it. ¥ is left to the language: it is yen here
and yuan there."""

DOLLARS = ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "TWD", "JMD", "BSD", "BBD", "TTD", "FJD", "NAD")
POUNDS = ("GBP", "EGP", "SHP", "GIP", "FKP", "SDG", "SYP", "LBP")
PESOS = ("MXN", "ARS", "CLP", "COP", "PHP", "UYU", "DOP", "CUP")
RUPEES = ("INR", "PKR", "LKR", "NPR", "MUR", "SCR")
FRANCS = ("CHF", "XOF", "XAF", "XPF", "RWF", "BIF", "GNF", "CDF", "DJF", "KMF")
"""Currencies that are called the same, the one first that is meant most: a slot may be in another of them."""

CODES: Mapping[str, str] = {
    code.lower(): code
    for code in (
        "AED", "ARS", "AUD", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "CZK", "DKK", "EGP",
        "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JOD", "JPY", "KES", "KRW", "KWD", "MXN",
        "MYR", "NGN", "NOK", "NZD", "OMR", "PHP", "PKR", "PLN", "QAR", "RSD", "RUB", "SAR", "SEK", "SGD",
        "THB", "TND", "TWD", "UAH", "USD", "UYU", "VND", "ZAR",
    )
} | {"rmb": "CNY", "cnh": "CNY"}  # fmt: skip
"""Those of ISO 4217 that a person is likely to say and that are no words: "all 30", "30 top" and "try 30" are
no leks, pa'angas and liras. RMB is what a yuan is called besides, CNH one that is traded abroad."""
