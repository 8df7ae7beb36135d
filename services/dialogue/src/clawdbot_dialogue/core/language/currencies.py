"""Currencies: which exist, how many digits their sums have, and what they are called in every language.

The first two come from the ISO 4217 table. It takes 6 ms to load, so it is loaded on first use: most flows do
not ask for money.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping


@functools.cache
def fraction_digits() -> Mapping[str, int]:
    """Currency code → digits after the decimal point: 2 for EUR, 0 for JPY.

    Leaves out codes without a minor unit in ISO 4217, such as gold and test codes.
    """
    from iso4217 import Currency

    return {each.code: each.exponent for each in Currency if each.exponent is not None}


def format_number(value: float, currency: str) -> str:
    """A sum without its currency: "1,200", "30.50", "1.250". Has the currency's digits unless it is whole."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.{fraction_digits().get(currency, 2)}f}"


SYMBOLS: Mapping[str, str] = {
    "$": "USD", "us$": "USD", "c$": "CAD", "ca$": "CAD", "a$": "AUD", "au$": "AUD", "nz$": "NZD",
    "hk$": "HKD", "s$": "SGD", "nt$": "TWD", "r$": "BRL", "mx$": "MXN",
    "€": "EUR", "£": "GBP", "₹": "INR", "rs": "INR", "rs.": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY",
    "₫": "VND", "₪": "ILS", "฿": "THB", "₱": "PHP", "₴": "UAH", "zł": "PLN", "kč": "CZK", "fr.": "CHF",
}  # fmt: skip
"""Currency symbols in lower case, as normalized text is; before or after a number. ¥ is left to the language
pack, since it means yen in one language and yuan in another."""

DOLLARS = ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "TWD", "JMD", "BSD", "BBD", "TTD", "FJD", "NAD")
POUNDS = ("GBP", "EGP", "SHP", "GIP", "FKP", "SDG", "SYP", "LBP")
PESOS = ("MXN", "ARS", "CLP", "COP", "PHP", "UYU", "DOP", "CUP")
RUPEES = ("INR", "PKR", "LKR", "NPR", "MUR", "SCR")
FRANCS = ("CHF", "XOF", "XAF", "XPF", "RWF", "BIF", "GNF", "CDF", "DJF", "KMF")
"""Currencies that share a name, the most common one first; the slot's own currencies decide between them."""

CODES: Mapping[str, str] = {
    code.lower(): code
    for code in (
        "AED", "ARS", "AUD", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "CZK", "DKK", "EGP",
        "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JOD", "JPY", "KES", "KRW", "KWD", "MXN",
        "MYR", "NGN", "NOK", "NZD", "OMR", "PHP", "PKR", "PLN", "QAR", "RSD", "RUB", "SAR", "SEK", "SGD",
        "THB", "TND", "TWD", "UAH", "USD", "UYU", "VND", "ZAR",
    )
} | {"rmb": "CNY", "cnh": "CNY"}  # fmt: skip
"""The ISO 4217 codes that a person is likely to say. Codes that are also words are left out: "all 30", "30
top" and "try 30" are not leks, pa'angas and liras. RMB is another name for the yuan, CNH the one that is
traded abroad."""
