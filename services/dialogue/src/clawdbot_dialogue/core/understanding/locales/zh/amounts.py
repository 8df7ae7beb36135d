"""Chinese sums of money: 30元, 三十块, 5美元, 二十美元五十美分, ¥30."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.understanding.locale import Found
from clawdbot_dialogue.core.understanding.locales.zh.durations import durations
from clawdbot_dialogue.core.understanding.matching import Sum, sums

_SIGNS: Mapping[str, str] = {
    "¥": "CNY", "￥": "CNY", "$": "USD", "€": "EUR", "£": "GBP", "hk$": "HKD", "us$": "USD", "nt$": "TWD",
}  # fmt: skip
_CODES = ("CNY", "USD", "EUR", "GBP", "JPY", "HKD", "TWD", "KRW", "AUD", "CAD", "SGD", "CHF")
_NAMES: Mapping[str, str] = {
    "元人民币": "CNY", "块人民币": "CNY", "人民币": "CNY", "元": "CNY", "块钱": "CNY",
    "块": "CNY", "圆": "CNY", "美元": "USD", "美金": "USD", "美刀": "USD",
    "刀": "USD", "欧元": "EUR", "欧": "EUR", "英镑": "GBP", "镑": "GBP",
    "日元": "JPY", "日圆": "JPY", "港元": "HKD", "港币": "HKD", "台币": "TWD",
    "新台币": "TWD", "韩元": "KRW", "韩币": "KRW", "澳元": "AUD", "加元": "CAD",
    "新元": "SGD", "新加坡元": "SGD", "瑞士法郎": "CHF", "rmb": "CNY",
    **{code.lower(): code for code in _CODES},
}  # fmt: skip


def _any(words: Mapping[str, str]) -> str:
    return "|".join(re.escape(each) for each in sorted(words, key=len, reverse=True))


_MINOR_NAMES: Mapping[str, str] = {"美分": "USD", "欧分": "EUR", "便士": "GBP", "港仙": "HKD"}
"""The hundredth of a currency; of yuan it is figures by now."""
_FIGURES = r"(?P<figures>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,15}(?:\.\d{1,4})?)"
_BARE = r"(?<![a-z\d:/-])(?<!\d[.,])(?<!分之)"
_MONEY = re.compile(
    rf"(?:(?P<sign>(?<![a-z]){_any(_SIGNS)}|人民币|rmb|usd|eur|gbp|cny) ?|{_BARE}){_FIGURES}"
    rf"(?: ?(?P<name>{_any(_NAMES)})(?![a-z])(?:(?P<left>\d\d)(?=$|[\s,.!?;。]))?"
    r"|(?![a-z\d]|[.,]\d))"
)
_MINOR = re.compile(rf"{_BARE}(?P<figures>\d{{1,2}}) ?(?P<name>{_any(_MINOR_NAMES)})")
_JOINED = re.compile(r"^(?:零|又|,)? ?$")
_COUNTS = re.compile(r" ?(?:位|个|人|名|点|号|日|月|年|天|分|刻|秒|钟|小时|周|岁|%|:|/)")


def amounts(text: str) -> list[Found[tuple[float, str]]]:
    """The sums of money that a text with digits names: value and ISO 4217 currency, empty for none said."""
    found = [
        Sum(match.start(), match.end(), int(match["figures"]) / 100, _MINOR_NAMES[match["name"]], minor=True)
        for match in _MINOR.finditer(text)
    ]
    for match in _MONEY.finditer(text):
        sign, name = match["sign"], match["name"]
        currency = _NAMES.get(name or "") or _SIGNS.get(sign or "") or _NAMES.get(sign or "", "")
        if currency or not _COUNTS.match(text, match.end()):
            value = float(match["figures"].replace(",", "")) + int(match["left"] or 0) / 100
            found.append(Sum(match.start(), match.end(), value, currency))
    return sums(text, found, _JOINED, durations(text))


_CURRENCIES: Mapping[str, str] = {
    "CNY": "元", "USD": "美元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元", "HKD": "港元", "TWD": "新台币",
}  # fmt: skip


def show_amount(value: float, currency: str) -> str:
    """A sum of money as a person reads it."""
    figures = f"{value:,.0f}" if value.is_integer() else f"{value:,.2f}"
    return f"{figures}{_CURRENCIES.get(currency, f' {currency}')}"
