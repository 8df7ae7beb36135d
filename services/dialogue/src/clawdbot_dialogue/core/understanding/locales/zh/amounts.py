"""Chinese sums of money: 30元, 三十块, 5美元, 二十美元五十美分, ¥30."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.understanding.currencies import CODES, SIGNS
from clawdbot_dialogue.core.understanding.locale import Found
from clawdbot_dialogue.core.understanding.locales.zh.durations import durations
from clawdbot_dialogue.core.understanding.matching import Sum, any_of, sums

_SHORT: Mapping[str, str] = {**SIGNS, **CODES, "¥": "CNY"}
_NAMES: Mapping[str, str] = {
    "元人民币": "CNY", "块人民币": "CNY", "人民币": "CNY", "元": "CNY", "块钱": "CNY", "块": "CNY",
    "圆": "CNY", "美元": "USD", "美金": "USD", "美刀": "USD", "刀": "USD", "欧元": "EUR", "欧": "EUR",
    "英镑": "GBP", "镑": "GBP", "日元": "JPY", "日圆": "JPY", "日币": "JPY", "港元": "HKD", "港币": "HKD",
    "台币": "TWD", "新台币": "TWD", "韩元": "KRW", "韩圆": "KRW", "韩币": "KRW", "澳元": "AUD", "澳币": "AUD",
    "加元": "CAD", "加币": "CAD", "新元": "SGD", "新币": "SGD", "新加坡元": "SGD", "新西兰元": "NZD",
    "纽元": "NZD", "瑞士法郎": "CHF", "瑞郎": "CHF", "法郎": "CHF", "卢比": "INR", "印度卢比": "INR",
    "巴基斯坦卢比": "PKR", "泰铢": "THB", "卢布": "RUB", "越南盾": "VND", "印尼盾": "IDR", "林吉特": "MYR",
    "马币": "MYR", "菲律宾比索": "PHP", "比索": "MXN", "雷亚尔": "BRL", "兰特": "ZAR", "里拉": "TRY",
    "谢克尔": "ILS", "迪拉姆": "AED", "兹罗提": "PLN", "福林": "HUF", "瑞典克朗": "SEK", "挪威克朗": "NOK",
    "丹麦克朗": "DKK", "科威特第纳尔": "KWD",
}  # fmt: skip
"""Where several countries call theirs so, the one that is meant most; 克朗 or 第纳尔 alone is left open."""
_MEANT: Mapping[str, str] = {**_SHORT, **_NAMES}
_MINOR_NAMES: Mapping[str, str] = {"美分": "USD", "欧分": "EUR", "便士": "GBP", "港仙": "HKD"}
"""The hundredth of a currency; of yuan it is figures by now."""
_BEFORE = [each for each in _NAMES if len(each) > 1]
"""港币500; a 元 or 块 before a figure ends another sum."""
_FIGURES = r"(?P<figures>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,15}(?:\.\d{1,4})?)"
_BARE = r"(?<![a-z\d:/-])(?<!\d[.,])(?<!分之)"
_MONEY = re.compile(
    rf"(?:(?P<sign>(?<![a-z])(?:{any_of(_SHORT)})|{any_of(_BEFORE)}) ?|{_BARE}){_FIGURES}"
    rf"(?: ?(?P<name>{any_of(_MEANT)})(?![a-z])(?:(?P<left>\d\d)(?=$|[\s,.!?;。]))?"
    r"|(?![a-z\d]|[.,]\d))"
)
_MINOR = re.compile(rf"{_BARE}(?P<figures>\d{{1,2}}) ?(?P<name>{any_of(_MINOR_NAMES)})")
_JOINED = re.compile(r"^(?:零|又|,)? ?$")
_COUNTS = re.compile(r" ?(?:位|个|人|名|点|号|日|月|年|天|分|刻|秒|钟|小时|周|岁|%|:|/)")


def amounts(text: str) -> list[Found[tuple[float, str]]]:
    """The sums of money that a text with digits names: value and ISO 4217 currency, empty for none said."""
    found = [
        Sum(match.start(), match.end(), int(match["figures"]) / 100, _MINOR_NAMES[match["name"]], minor=True)
        for match in _MINOR.finditer(text)
    ]
    for match in _MONEY.finditer(text):
        # What is written out says more than a sign.
        currency = _MEANT.get(match["name"] or match["sign"] or "", "")
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
