"""Chinese numbers: what the figures in a text count, and how one stands beside another."""

from __future__ import annotations

import re

from clawdbot_dialogue.core.language.span import Found

_NUMBER = re.compile(
    r"(?<![a-z\d_:/@#-])(?<!\d[.,])(?<!第)(?<!分之)[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,6})?"
    r"(?![a-z\d_:/@%]|[.-]\d|,\d{3}(?!\d)|[点号月年刻楼折路几]|分之)"
)
_BEFORE = re.compile(
    r"(?:^|[\s,.!?。;:、]|我们|咱们|一共|总共|共|就|只|是|有|大概|大约|差不多|左右|改成|改为|改到|换成"
    r"|变成|要|订|定|给|来|到|约)$"
)
_AFTER = re.compile(r"^(?: *(?:$|[,.!?;。、~])|\s|位|个人|人|名|口|个$|吧|呢|就|了|左右|用餐|吃饭|的|在)")


def numbers(text: str) -> list[Found[int | float]]:
    """The numbers in a text with digits; times, dates, ordinals and percentages are none."""
    return [
        Found(found.start(), found.end(), _read(found[0].replace(",", "")))
        for found in _NUMBER.finditer(text)
    ]


def _read(figures: str) -> int | float:
    return float(figures) if "." in figures else int(figures)


def counted(before: str, after: str) -> bool:
    """Whether the texts around a number leave it standing for itself; 住3晚 does not."""
    return bool(_BEFORE.search(before[-6:]) and _AFTER.search(after))
