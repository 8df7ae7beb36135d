"""What currencies are called in every language: their signs and codes, in lower case as folded texts are."""

from __future__ import annotations

from collections.abc import Mapping

SIGNS: Mapping[str, str] = {
    "$": "USD", "us$": "USD", "c$": "CAD", "ca$": "CAD", "a$": "AUD", "au$": "AUD", "nz$": "NZD",
    "hk$": "HKD", "s$": "SGD", "nt$": "TWD", "r$": "BRL", "mx$": "MXN",
    "€": "EUR", "£": "GBP", "₹": "INR", "rs": "INR", "rs.": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY",
    "₫": "VND", "₪": "ILS", "฿": "THB", "₱": "PHP", "₴": "UAH", "zł": "PLN", "kč": "CZK", "fr.": "CHF",
}  # fmt: skip
"""Before a figure or behind it. ¥ is left to the language: yen here, yuan there."""

CODES: Mapping[str, str] = {
    code.lower(): code
    for code in (
        "AED", "ARS", "AUD", "BGN", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "CZK", "DKK", "EGP",
        "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JOD", "JPY", "KES", "KRW", "KWD", "MXN",
        "MYR", "NGN", "NOK", "NZD", "OMR", "PHP", "PKR", "PLN", "QAR", "RSD", "RUB", "SAR", "SEK", "SGD",
        "THB", "TND", "TWD", "UAH", "USD", "UYU", "VND", "ZAR",
    )
} | {"rmb": "CNY", "cnh": "CNY"}  # fmt: skip
"""Those of ISO 4217 that a person is likely to say and that are no words: "all 30", "30 top" and "try 30" are
no leks, pa'angas and liras. RMB is what a yuan is called besides, CNH one that is traded abroad."""
