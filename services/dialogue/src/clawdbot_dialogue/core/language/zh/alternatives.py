"""How Chinese leaves a value open, or takes one back: 4位还是5位, 不是周五, 周五不行."""

from __future__ import annotations

import re

_EITHER = frozenset(
    ("或", "或者", "或是", "还是", "要么", "到", "至", "-", "~", "、", ",或者", "or", "也可能是")
)
_TO = frozenset(("到", "至", "-", "~"))
_PART = "晚上|下午|上午|早上|中午"
_DENIED = re.compile(
    r"(?:(?<!是)不是|(?<!要)不要|不想要?|不喜欢|(?<!在)不在|不选|不坐|除了|别|(?<![要是可能行])不)"
    rf"(?:在|选|坐|要|订|定|约)?(?:{_PART})?$"
)
_THEN_DENIED = re.compile(
    r"^(?:那天|的话|那个?|我|我们|是|[,\s])*(?:不行|不可以|不方便|不合适|不要|不好|没空|没时间|没有?时间|来不了|去不了"
    r"|有事)(?![?吗嘛])"
)


def either(_: str, between: str) -> bool:
    """Whether the text between two values leaves open which is meant: 4位还是5位."""
    return between.strip(" 位个人名点钟块元") in _EITHER


def denied(before: str, after: str) -> bool:
    """Whether the texts before and after a value take it back."""
    return bool(_DENIED.search(before[-8:]) or _THEN_DENIED.match(after[:16]))


def spans(between: str) -> bool:
    """Whether the text between two values makes them the ends of a span."""
    return between.strip() in _TO
