"""Chinese numbers: 四, 两百零五 and 三万 become digits, digits become values.

Own tables, since cn2an (the library that is kept) rewrites whole texts without places: it makes 7.4 of
七点四, one number of the four people that 七点四位 speaks of, and digits of 一些 (some) and 统一 (to unite).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.understanding.locale import Found

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
_TOKENS = re.compile(
    # Words that hold a numeral and count nothing, weekdays among them, are left as they are.
    r"(?P<word>(?:周|星期|礼拜)[一二三四五六日天]"
    r"|一(?:下|些|起|定|样|般|直|共|会儿?|边|律|切|旦|块儿)|[万统唯专之其单]一|十分(?=感谢|满意|抱歉|喜欢"
    r"|高兴|着急|紧急|想)"
    r"|(?<![今明后昨当])[早晚]一点|(?:快|慢|多|少|大|小|好|近|远|便宜|安静|有|差)一点|一点(?:儿|也|都)"
    r"|三明治|四川|千万(?=别|不|要))"
    rf"|(?P<half>(?P<dozens>{_SMALL}|\d+)?(?P<group>半打|打(?![电算扰折开扫包的个]))"
    r"|[就只](?:有)?我(?:自己|一个人?|一人)?(?=[,.。!?;\s]|$)|我们?俩|我们仨|俩人?|仨人?)"
    rf"|(?P<either>(?P<low>{_D})(?P<high>{_D})(?P<unit>[十百千万]?)(?=[位个人名口天晚份张间块元十百千万]))"
    rf"|(?P<point>{_D}|[零十])点(?P<fraction>[零〇一二三四五六七八九]+)(?:(?P<size>[万亿])|(?=[元块%]"
    rf"|公里|公斤))"
    r"|(?P<string>[零〇一幺二三四五六七八九]{2,}(?![十百千万亿]))"
    rf"|(?P<figures>\d{{1,9}}(?:\.\d{{1,4}})?)(?P<scale>[万亿千百](?![分]))"
    rf"|(?P<whole>(?=[一-鿿]){_WHOLE})|(?P<zero>零)(?=[点度])"
)
_SCALES: Mapping[str, int] = {"": 1, "十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 10**8}
_TENTHS = re.compile(r"(?<![\d.])(\d{1,9})块(\d)(?:毛|角)?(?![\d位个人名点])")
"""三块五 is 3.5."""
_PEOPLE: Mapping[str, str] = {"俩": "2个人", "仨": "3个人"}


def digits(text: str) -> str:
    """The text with figures for numerals: 明晚七点四位 → 明晚7点4位; two that meet are kept apart."""
    if text.isascii():
        return text
    parts: list[str] = []
    last = 0
    for found in _TOKENS.finditer(text):
        if found.end() == found.start():
            continue
        written = _written(found)
        touching = text[last : found.start()] or (parts[-1] if parts else "")
        parts.append(text[last : found.start()])
        if touching[-1:].isdecimal() and written[:1].isdecimal():
            parts.append(" ")
        parts.append(written)
        last = found.end()
    return _TENTHS.sub(r"\1.\2块", "".join([*parts, text[last:]]))


def _written(found: re.Match[str]) -> str:
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
    if found["point"]:
        whole = 10 if found["point"] == "十" else _DIGITS[found["point"]]
        value = float(f"{whole}.{''.join(str(_DIGITS[each]) for each in found['fraction'])}")
        return _shown(value * _SCALES[found["size"] or ""])
    if found["string"]:
        return "".join(str(_DIGITS[each]) for each in found[0])
    if found["figures"]:
        return _shown(float(found["figures"]) * _SCALES[found["scale"]])
    return "0" if kind == "zero" else str(_value(found[0]))


def _shown(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _value(numeral: str) -> int:
    """What a well-formed numeral stands for: 三万五 is 35000, 三万零五 is 30005."""
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
    """A numeral below 10,000; a bare digit at the end counts the unit's tenth: 四百五 is 450."""
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


_NUMBER = re.compile(
    r"(?<![a-z\d_:/@#-])(?<!\d[.,])(?<!第)(?<!百分之)[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,6})?"
    r"(?![a-z\d_:/@%]|[.-]\d|,\d{3}(?!\d)|[点号月年刻楼折路])"
)
_NOT = re.compile(r"(?:不是|不要|别|不)$")
_BEFORE = re.compile(
    r"(?:^|[\s,.!?。;:、]|我们|咱们|一共|总共|共|就|只|是|有|大概|大约|差不多|左右|改成|改为|改到|换成"
    r"|变成|要|订|定|给|来|到|约)$"
)
_AFTER = re.compile(r"^(?: *(?:$|[,.!?;。、~])|\s|位|个人|人|名|口|个$|吧|呢|就|了|左右|用餐|吃饭|的|在)")
_EITHER = frozenset(
    ("或", "或者", "或是", "还是", "要么", "到", "至", "-", "~", "、", ",或者", "or", "也可能是")
)


def numbers(text: str) -> list[Found[float]]:
    """The numbers in a text with digits; times, dates, ordinals and percentages are none."""
    return [
        Found(found.start(), found.end(), _read(found[0].replace(",", "")))
        for found in _NUMBER.finditer(text)
        if not _NOT.search(text[max(0, found.start() - 3) : found.start()])
    ]


def _read(figures: str) -> float:
    return float(figures) if "." in figures else int(figures)


def counted(before: str, after: str) -> bool:
    """Whether the texts around a number leave it standing for itself; 住3晚 does not."""
    return bool(_BEFORE.search(before[-6:]) and _AFTER.search(after))


def either(between: str) -> bool:
    """Whether the text between two values leaves open which is meant: 4位还是5位."""
    return between.strip(" 位个人名点钟块元") in _EITHER
