"""Chinese lengths of time and sums of money: 两个半小时, 三天, 30分钟; 30元, 三十块, 5美元, ¥30."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.understanding.locale import Found
from clawdbot_dialogue.core.understanding.matching import lengths

_SECONDS: Mapping[str, int] = {
    "秒": 1, "秒钟": 1, "分": 60, "分钟": 60, "刻钟": 900, "小时": 3600, "钟头": 3600,
    "天": 86_400, "日": 86_400,
    "晚": 86_400, "周": 604_800, "星期": 604_800, "礼拜": 604_800,
}  # fmt: skip
_UNIT = "|".join(sorted(_SECONDS, key=len, reverse=True))
_COUNT = r"(?<![\d:/月年点])(?<!\d[.,])(?P<count>\d{1,6}(?:\.\d{1,3})?|半)"
_ONE = re.compile(
    rf"{_COUNT} ?(?P<half>个半|个)? ?(?P<unit>{_UNIT})(?P<more>半)?(?!\d*[号日]|之?后|以后|[一二三四五六末])"
)
_JOINED = re.compile(r"^(?:零|又|,)? ?$")


def durations(text: str) -> list[Found[float]]:
    """The lengths of time that a text with digits names, in seconds."""
    found = []
    for match in _ONE.finditer(text):
        count = 0.5 if match["count"] == "半" else float(match["count"])
        if match["half"] == "个半" or match["more"]:
            count += 0.5
        seconds = count * _SECONDS[match["unit"]]
        found.append(Found(match.start(), match.end(), seconds))
    return lengths(text, found, _JOINED)


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


_FIGURES = r"(?P<figures>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,12}(?:\.\d{1,4})?)"
_MONEY = re.compile(
    rf"(?:(?P<sign>(?<![a-z]){_any(_SIGNS)}|人民币|rmb|usd|eur|gbp|cny) ?)?(?<![\d:/-])(?<!\d[.,]){_FIGURES}"
    rf"(?: ?(?P<name>{_any(_NAMES)})(?![a-z]))?"
)
_NOT_MONEY = re.compile(r"^(?: ?(?:位|个|人|名|点|号|日|月|年|天|分|刻|秒|钟|小时|周|岁|%|:|/))")


def amounts(text: str) -> list[Found[tuple[float, str]]]:
    """The sums of money that a text with digits names: value and ISO 4217 currency, empty for none said."""
    found: list[Found[tuple[float, str]]] = []
    for match in _MONEY.finditer(text):
        sign, name = match["sign"], match["name"]
        if not (sign or name) and _NOT_MONEY.match(text[match.end() :]):
            continue
        currency = _NAMES.get(name or "") or _SIGNS.get(sign or "") or _NAMES.get(sign or "", "")
        value = float(match["figures"].replace(",", ""))
        found.append(Found(match.start(), match.end(), (value, currency)))
    return found


_SHOWN = (("天", 86_400), ("小时", 3600), ("分钟", 60), ("秒", 1))
_CURRENCIES: Mapping[str, str] = {
    "CNY": "元", "USD": "美元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元", "HKD": "港元", "TWD": "新台币",
}  # fmt: skip


def show_duration(seconds: float) -> str:
    """Seconds as a person says them."""
    parts, left = [], round(seconds)
    for name, length in _SHOWN:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0秒"


def show_amount(value: float, currency: str) -> str:
    """A sum of money as a person reads it."""
    figures = f"{value:,.0f}" if value.is_integer() else f"{value:,.2f}"
    return f"{figures}{_CURRENCIES.get(currency, f' {currency}')}"
