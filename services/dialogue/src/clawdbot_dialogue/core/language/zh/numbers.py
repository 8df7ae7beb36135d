"""Chinese numbers: which digits in a text are numbers, and whether one counts something else."""

from __future__ import annotations

import re

from clawdbot_dialogue.core.language.span import Span

_NUMBER = re.compile(
    r"(?<![a-z\d_:/@#-])(?<!\d[.,])(?<!第)(?<!分之)[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,6})?"
    r"(?![a-z\d_:/@%]|[.-]\d|,\d{3}(?!\d)|[点号月年刻楼折路几]|分之)"
)
_BEFORE = re.compile(
    r"(?:^|[\s,.!?。;:、]|我们|咱们|一共|总共|共|就|只|是|有|大概|大约|差不多|左右|改成|改为|改到|换成"
    r"|变成|要|订|定|给|来|到|约)$"
)
_AFTER = re.compile(r"^(?: *(?:$|[,.!?;。、~])|\s|位|个人|人|名|口|个$|吧|呢|就|了|左右|用餐|吃饭|的|在)")


def numbers(text: str) -> list[Span[int | float]]:
    """The numbers in a text with digits; times, dates, ordinals and percentages are not numbers."""
    return [
        Span(found.start(), found.end(), _value(found[0].replace(",", "")))
        for found in _NUMBER.finditer(text)
    ]


def _value(digits: str) -> int | float:
    return float(digits) if "." in digits else int(digits)


def is_bare_number(before: str, after: str) -> bool:
    """Whether a number counts nothing else, given the text around it; in 住3晚 it counts nights."""
    return bool(_BEFORE.search(before[-6:]) and _AFTER.search(after))
