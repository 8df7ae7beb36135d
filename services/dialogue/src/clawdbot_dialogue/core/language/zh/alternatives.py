"""Chinese alternatives, ranges and negations: 4位还是5位, 五点到六点, 不是周五, 周五不行."""

from __future__ import annotations

import re

_EITHER = frozenset(
    ("或", "或者", "或是", "还是", "要么", "到", "至", "-", "~", "、", ",或者", "or", "也可能是")
)
_TO = frozenset(("到", "至", "-", "~"))
_PART = "晚上|下午|上午|早上|中午"
_NEGATED = re.compile(
    r"(?:(?<!是)不是|(?<!要)不要|不想要?|不喜欢|(?<!在)不在|不选|不坐|除了|别|(?<![要是可能行])不)"
    rf"(?:在|选|坐|要|订|定|约)?(?:{_PART})?$"
)
_THEN_NEGATED = re.compile(
    r"^(?:那天|的话|那个?|我|我们|是|[,\s])*(?:不行|不可以|不方便|不合适|不要|不好|没空|没时间|没有?时间|来不了|去不了"
    r"|有事)(?![?吗嘛])"
)


def are_alternatives(_: str, between: str) -> bool:
    """Whether the text between two values makes them alternatives: 4位还是5位."""
    return between.strip(" 位个人名点钟块元") in _EITHER


def is_negated(before: str, after: str) -> bool:
    """Whether a value is negated, given the text before and after it."""
    return bool(_NEGATED.search(before[-8:]) or _THEN_NEGATED.match(after[:16]))


def is_range(between: str) -> bool:
    """Whether the text between two values makes them the ends of a range."""
    return between.strip() in _TO
