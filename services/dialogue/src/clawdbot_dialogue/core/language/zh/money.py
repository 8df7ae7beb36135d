"""Chinese sums of money: 30元, 三十块, 5美元, 二十美元五十美分, ¥30."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
from clawdbot_dialogue.core.language.language_pack import Currencies
from clawdbot_dialogue.core.language.pattern_rules import MoneyMention, alternation, merge_money
from clawdbot_dialogue.core.language.span import Span
from clawdbot_dialogue.core.language.zh.durations import durations

_SYMBOLS_AND_CODES: Mapping[str, str] = {**SYMBOLS, **CODES, "¥": "CNY"}
_DISPLAY_NAMES: Mapping[str, str] = {
    "CNY": "元", "USD": "美元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元", "HKD": "港元", "TWD": "新台币",
    "KRW": "韩元", "AUD": "澳元", "CAD": "加元", "SGD": "新加坡元", "NZD": "新西兰元", "CHF": "瑞士法郎",
    "INR": "印度卢比", "PKR": "巴基斯坦卢比", "THB": "泰铢", "RUB": "卢布", "VND": "越南盾", "IDR": "印尼盾",
    "MYR": "林吉特", "PHP": "菲律宾比索", "MXN": "墨西哥比索", "BRL": "雷亚尔", "ZAR": "兰特", "TRY": "里拉",
    "ILS": "谢克尔", "AED": "迪拉姆", "PLN": "兹罗提", "HUF": "福林", "SEK": "瑞典克朗", "NOK": "挪威克朗",
    "DKK": "丹麦克朗", "KWD": "科威特第纳尔",
}  # fmt: skip
"""Names used in replies; other currencies are shown by their code."""
_NAMES: Mapping[str, str] = {called: code for code, called in _DISPLAY_NAMES.items()} | {
    "元人民币": "CNY", "块人民币": "CNY", "人民币": "CNY", "块钱": "CNY", "块": "CNY", "圆": "CNY",
    "美金": "USD", "美刀": "USD", "刀": "USD", "欧": "EUR", "镑": "GBP", "日圆": "JPY", "日币": "JPY",
    "港币": "HKD", "台币": "TWD", "韩圆": "KRW", "韩币": "KRW", "澳币": "AUD", "加币": "CAD", "新元": "SGD",
    "新币": "SGD", "纽元": "NZD", "瑞郎": "CHF", "法郎": "CHF", "卢比": "INR", "马币": "MYR", "比索": "MXN",
}  # fmt: skip
"""If several countries use the name, the most common one; 克朗 or 第纳尔 alone is too ambiguous and left
out."""
_YUAN = ("CNY", "TWD", "HKD", "SGD", "MOP")
"""Currencies that are called 元 or 块 where they are used."""
_CODE_BY_WORD: Mapping[str, str] = {**_SYMBOLS_AND_CODES, **_NAMES}
_SHARED: Mapping[str, Currencies] = {
    "$": DOLLARS, "刀": DOLLARS, "£": POUNDS, "镑": POUNDS, "比索": PESOS, "卢比": RUPEES, "法郎": FRANCS,
    "¥": ("CNY", "JPY"), "元": _YUAN, "圆": _YUAN, "块": _YUAN, "块钱": _YUAN,
}  # fmt: skip
"""Symbols and names that several currencies share."""
_MINOR_NAMES: Mapping[str, str] = {"美分": "USD", "欧分": "EUR", "便士": "GBP", "港仙": "HKD"}
"""Names of hundredths → the currency; those of the yuan have already been replaced by digits."""
_PREFIXES = [each for each in _NAMES if len(each) > 1]
"""Names that may precede the number (港币500); 元 or 块 before a number ends another sum."""
_NUMBER = r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d{1,4})?|\d{1,15}(?:\.\d{1,4})?)"
_BARE = r"(?<![a-z\d:/-])(?<!\d[.,])(?<!分之)"
_MONEY = re.compile(
    rf"(?:(?P<sign>(?<![a-z])(?:{alternation(_SYMBOLS_AND_CODES)})|{alternation(_PREFIXES)}) ?|{_BARE})"
    rf"{_NUMBER}"
    rf"(?: ?(?P<name>{alternation(_CODE_BY_WORD)})(?![a-z])(?:(?P<left>\d\d)(?=$|[\s,.!?;。]))?"
    r"|(?![a-z\d]|[.,]\d))"
)
_MINOR = re.compile(rf"{_BARE}(?P<number>\d{{1,2}}) ?(?P<name>{alternation(_MINOR_NAMES)})")
_JOINED = re.compile(r"^(?:零|又|,)? ?$")
_COUNTS = re.compile(r" ?(?:位|个|人|名|点|号|日|月|年|天|分|刻|秒|钟|小时|周|岁|%|:|/)")


def money(text: str) -> list[Span[tuple[float, Currencies]]]:
    """The sums of money in a text with digits, each with its possible currencies."""
    found = [
        MoneyMention(
            match.start(),
            match.end(),
            int(match["number"]) / 100,
            (_MINOR_NAMES[match["name"]],),
            minor=True,
        )
        for match in _MINOR.finditer(text)
    ]
    for match in _MONEY.finditer(text):
        # A name is more precise than a symbol.
        word = match["name"] or match["sign"] or ""
        currencies = _SHARED.get(word) or ((_CODE_BY_WORD[word],) if word else ())
        if currencies or not _COUNTS.match(text, match.end()):
            value = float(match["number"].replace(",", "")) + int(match["left"] or 0) / 100
            found.append(MoneyMention(match.start(), match.end(), value, currencies))
    return merge_money(text, found, _JOINED, durations(text))


def format_money(value: float, currency: str) -> str:
    """A sum of money with its currency: 30.50元."""
    return f"{format_number(value, currency)}{_DISPLAY_NAMES.get(currency, f' {currency}')}"
