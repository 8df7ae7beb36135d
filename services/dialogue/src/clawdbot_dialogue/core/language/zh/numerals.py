"""Writes Chinese numerals as digits: 四, 两百零五, 三万, 1万2, 5k and 三块五.

Custom tables, since cn2an (the maintained library) converts whole texts without context: it reads 七点四 as
7.4, 七点四位 (at seven, for four people) as one number, and converts the numerals in 一些 (some) and 统一 (to
unite).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_DIGITS: Mapping[str, int] = {
    char: value for value, chars in enumerate(
        ("零〇", "一壹幺", "二两贰", "三叁参", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
    ) for char in chars
}  # fmt: skip
_UNITS: Mapping[str, int] = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_D = "[一二两三四五六七八九壹贰叁参肆伍陆柒捌玖]"
_TENS = rf"零?{_D}?[十拾]{_D}?"
_SMALL = (
    rf"(?:{_D}[千仟](?:零?{_D}[百佰])?(?:{_TENS}|零?{_D})?|{_D}[百佰](?:{_TENS}|零?{_D})?"
    rf"|{_D}?[十拾]{_D}?|{_D})"
)
_WHOLE = rf"(?:{_SMALL}亿零?)?(?:{_SMALL}万零?)?{_SMALL}?"
_SIZE = r"(?:[十百千]?(?:万亿|[万亿])|[十百千])"
_MIXED = (
    rf"\d{{1,9}}(?:\.\d{{1,4}})?(?:[kw](?![a-z\d])|{_SIZE}(?!分)(?:零?\d{{1,4}}{_SIZE})*"
    r"(?:零?\d{1,4}(?![\d.:点月号日年分时]))?)"
)
"""Digits mixed with units: 1万2, 3千5百, 5k; times and dates are left alone."""
_TOKENS = re.compile(
    # Words that contain a numeral but do not count anything, such as weekdays, are left alone.
    r"(?P<word>(?:周|星期|礼拜)[一二三四五六日天]"
    r"|一(?:下|些|起|定|样|般|直|共|会儿?|边|律|切|旦|块儿)|[万统唯专之其单]一|十分(?=感谢|满意|抱歉|喜欢"
    r"|高兴|着急|紧急|想)"
    r"|(?<![今明后昨当])[早晚]一点|(?:快|慢|多|少|大|小|好|近|远|便宜|安静|有|差)一点|一点(?:儿|也|都)"
    r"|三明治|四川|千万(?=别|不|要)|五一(?=$|[\s,.。假节长的那去晚中早上下]))"
    rf"|(?P<half>(?P<dozens>{_SMALL}|\d+)?(?P<group>半打|(?<=[一二两俩三四五六七八九十百\d])打(?![电算扰折开扫包的个]))"
    r"|[就只](?:有)?我(?:自己|一个人?|一人)?(?=[,.。!?;\s]|$)|我们?俩|我们仨|[俩仨](?![小钟箱间份杯张件瓶碗盘包本月星])人?)"
    r"|(?P<pair>[俩仨])"
    rf"|(?P<either>(?P<low>{_D})(?P<high>{_D})(?P<unit>[十百千万]?)(?=[位个人名口天晚份张间块元点十百千万]))"
    rf"|(?P<point>{_D}|[零十])点(?P<fraction>[零〇一二三四五六七八九]+)(?:(?P<size>[万亿])|(?=[元块%]"
    r"|公里|公斤|个?小时|个?钟头))"
    r"|(?P<string>[零〇一幺二三四五六七八九]{2,}(?![十百千万亿]))"
    rf"|(?P<digits>{_MIXED})"
    rf"|(?P<whole>(?=[一-鿿]){_WHOLE})|(?P<zero>零)(?=[点度])"
)
_DECIMAL = re.compile(rf"({_SMALL}|零)点([一二三四五六七八九][零〇一二三四五六七八九]*)(?=[。.!]?$)")
"""A decimal as a whole message; a time of day would be 三点零五分 or 三点十五."""
_SCALES: Mapping[str, int] = {
    "": 1, "十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 10**8, "k": 1000, "w": 10_000,
}  # fmt: skip
_LETTERED = re.compile(r"\d[kw](?![a-z\d])")
_STEPS = re.compile(r"(?P<zero>零)?(?P<digits>\d+(?:\.\d+)?)|(?P<unit>[十百千万亿kw])")
_NOT_COUNTED = r"(?![\d位个人名口张份桌间天晚点小月号分])"
_TENTHS = re.compile(
    rf"(?<![\d.])(?:(?P<yuan>\d{{1,9}})(?:块|元|圆)钱?(?:零|又)?)?(?:"
    rf"0?(?P<jiao>\d)(?:毛|角(?![形星度落色]))(?:零?0?(?P<fen>\d)(?:分(?!钟)|{_NOT_COUNTED}))?钱?"
    rf"|(?(yuan)(?:0?(?P<cents>\d)分(?!钟)钱?|(?<=块)(?P<bare>\d){_NOT_COUNTED})|(?P<alone>\d)分钱))"
)
"""三块五 is 3.5, 三十元五角二分 30.52, 五毛 0.5, 五分钱 0.05."""
_PEOPLE: Mapping[str, str] = {"俩": "2个人", "仨": "3个人"}


def normalize_numerals(text: str) -> str:
    """The text with numerals as digits: 明晚七点四位 → 明晚7点4位. A space separates adjacent numbers."""
    if text.isascii() and not _LETTERED.search(text):
        return text
    if decimal := _DECIMAL.match(text):
        return _point(decimal[1], decimal[2]) + text[decimal.end() :]
    parts: list[str] = []
    last = 0
    for found in _TOKENS.finditer(text):
        if found.end() == found.start():
            continue
        replacement = _replacement(found)
        touching = text[last : found.start()] or (parts[-1] if parts else "")
        parts.append(text[last : found.start()])
        # A comma between two numerals is not a thousands separator.
        if (touching[-1:].isdecimal() or touching[-1:] == ",") and replacement[:1].isdecimal():
            parts.append(" ")
        parts.append(replacement)
        last = found.end()
        if replacement[-1:].isdecimal() and text[last : last + 1].isdecimal():
            parts.append(" ")
    return _TENTHS.sub(_tenths, "".join([*parts, text[last:]]))


def _replacement(found: re.Match[str]) -> str:
    kind = str(found.lastgroup)
    if found["word"]:
        return found[0]
    if found["half"]:
        if found["group"]:
            count = found["dozens"] or "一"
            dozens = int(count) if count.isdecimal() else _small(count)
            return str(6 if found["group"] == "半打" else 12 * dozens)
        return next((people for char, people in _PEOPLE.items() if char in found[0]), "1个人")
    if found["either"]:
        low, high, scale = _DIGITS[found["low"]], _DIGITS[found["high"]], _SCALES[found["unit"]]
        return f"{low * scale}或{high * scale}" if high > low else f"{low}{high}{found['unit']}"
    if found["pair"]:
        return "2" if found["pair"] == "俩" else "3"
    if found["point"]:
        value = float(_point(found["point"], found["fraction"]))
        return _format(value * _SCALES[found["size"] or ""])
    if found["string"]:
        return "".join(str(_DIGITS[each]) for each in found[0])
    if found["digits"]:
        return _format(_mixed(found[0]))
    return "0" if kind == "zero" else str(_value(found[0]))


def _point(whole: str, fraction: str) -> str:
    return f"{_small(whole)}.{''.join(str(_DIGITS[each]) for each in fraction)}"


def _tenths(found: re.Match[str]) -> str:
    tenths = int(found["jiao"] or found["bare"] or 0)
    hundredths = int(found["fen"] or found["cents"] or found["alone"] or 0)
    return f"{_format(int(found['yuan'] or 0) + tenths / 10 + hundredths / 100)}块"


def _mixed(digits: str) -> float:
    """The value of digits mixed with units, by the rules of _value: 1万2 is 12000, 1亿2千万 is 120000000."""
    total, section, number, size, zero = 0.0, 0.0, 0.0, 1, False
    for step in _STEPS.finditer(digits):
        if step["digits"]:
            number, zero = float(step["digits"]), bool(step["zero"]) or len(step["digits"]) > 1
            continue
        size = _SCALES[step["unit"]]
        if size < 10_000:
            section, number = section + number * size, 0.0
        else:  # 1万亿 multiplies the sum so far
            total = total + (section + number) * size if section or number else total * size
            section, number = 0.0, 0.0
    return total + section + number * (1 if zero else max(1, size // 10))


def _format(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _value(numeral: str) -> int:
    """The value of a well-formed numeral: 三万五 is 35000, 三万零五 is 30005."""
    total = 0
    for unit, size in (("亿", 10**8), ("万", 10_000)):
        before, found, after = numeral.partition(unit)
        if found:
            total += _small(before) * size
            if len(after) == 1 and after in _DIGITS and after != "零":
                return total + _DIGITS[after] * size // 10
            numeral = after
    return total + _small(numeral)


def _small(numeral: str) -> int:
    """The value of a numeral below 10,000; a final digit counts tenths of the last unit: 四百五 is 450."""
    total, digit, unit = 0, 0, 0
    for char in numeral.lstrip("零"):
        if char in _UNITS:
            unit = _UNITS[char]
            total += (digit or 1) * unit
            digit = 0
        elif char in "零〇":
            unit = 0
        else:
            digit = _DIGITS[char]
    return total + digit * (unit // 10 if unit > 10 else 1)
