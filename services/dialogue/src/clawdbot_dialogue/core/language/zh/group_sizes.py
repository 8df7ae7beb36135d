"""Sizes of groups in Chinese, where the text does not give the total: 两大一小, 我和三个朋友, 我跟我老婆."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clawdbot_dialogue.core.language.span import Span

PEOPLE_UNITS = ("位", "人", "个人", "口")
"""The units of a slot that counts people."""

_COUNT = r"(?<!\d)(\d{1,3})(?:个|位|名)?"
_AND = r"(?:和|跟|与|及|以及|还有|带着?|加上?|外加|[、,+ ])*"
_ADULTS = r"(?:大人|成年?人|大(?![桌份杯床碗盘厅堂]))"
_CHILDREN = r"(?:小孩子?|孩子|儿童|小朋友|婴儿|宝宝|娃娃?|小(?![时份杯碗桌]))"
_WITH = r"(?:和|跟|与|还有|带着?|加上?)"
_CLOSE = (
    r"(?:老婆|老公|太太|先生|妻子|丈夫|爱人|对象|女朋友|男朋友|女友|男友|朋友|同事|同学|妈妈?|爸爸?|儿子|女儿"
    r"|孩子|闺蜜|老板)"
)
_SUM = re.compile(rf"{_COUNT}{_ADULTS}{_AND}{_COUNT}{_CHILDREN}")
_AND_I = re.compile(rf"我{_WITH}(?:我的?)?{_COUNT}(?:朋友|同事|同学|家人|客人|人|{_CHILDREN})")
_TWO = re.compile(rf"我{_WITH}(?:我的?)?(?P<parents>爸妈|父母|爸爸?妈妈?)?(?(parents)|{_CLOSE})")
_OF_PEOPLE = re.compile(r"^ ?(?:位|个?人|名)")
_HINT = re.compile(r"大|成|我")


def group_sizes(text: str) -> Iterator[Span[int]]:
    """The totals of people in a text with digits."""
    if not _HINT.search(text):
        return
    for found in _TWO.finditer(text):
        yield Span(*found.span(), 3 if found["parents"] else 2)
    for found in _AND_I.finditer(text):
        yield Span(*found.span(), int(found[1]) + 1)
    for found in _SUM.finditer(text):
        yield Span(*found.span(), int(found[1]) + int(found[2]))


def counts_people(after: str) -> bool:
    """Whether the text after a number says that it counts people."""
    return bool(_OF_PEOPLE.match(after))
