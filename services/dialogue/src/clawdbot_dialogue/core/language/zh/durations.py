"""Chinese durations: 两个半小时, 一小时三刻, 四分之三小时, 三天, 30分钟, 1h30."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.language.pattern_rules import alternation, merge_durations
from clawdbot_dialogue.core.language.span import Span

_SECONDS: Mapping[str, int] = {
    "秒": 1, "秒钟": 1, "分": 60, "分钟": 60, "刻钟": 900, "小时": 3600, "钟头": 3600,
    "天": 86_400, "日": 86_400,
    "晚": 86_400, "周": 604_800, "星期": 604_800, "礼拜": 604_800,
    "h": 3600, "hr": 3600, "hrs": 3600, "min": 60, "mins": 60, "m": 60,
}  # fmt: skip
_COUNT = (
    r"(?<![\d:/月年点])(?<!\d[.,])(?<!分之)"
    r"(?:(?P<under>[2-9])分之(?P<over>\d|一)|(?P<count>\d{1,6}(?:\.\d{1,3})?|半))"
)
_REST = (
    r"(?:(?:(?<=小时)|(?<=钟头)|(?<=\dh))(?:零|又|过)?"
    r"(?:(?P<quarters>[1-3])刻钟?|(?P<minutes>[0-5]\d)(?=$|[\s,.!?;。]|左右)))?"
)
"""A quarter without 钟, and minutes without 分, count only after hours: 七点三刻 is a time of day."""
_ONE = re.compile(
    rf"{_COUNT} ?(?P<half>个半|个)? ?(?P<unit>{alternation(_SECONDS)})(?P<more>半)?{_REST}"
    r"(?![a-z]|\d*[号日]|之?后|以后|[一二三四五六末]|之[\d一]|[钱元圆])"
)
_NOW = re.compile(r"^(?:就)?(?:现在|马上|立刻|立即|尽快)(?:就?[要吧送来])?[\s,.。!]*$")
_AFTER = re.compile(r"(?:之|以)?(?P<sign>后|前)")
_JOINED = re.compile(r"^(?:零|又|,)? ?$")


def durations(text: str) -> list[Span[float]]:
    """The durations in a text with digits, in seconds."""
    found = []
    for match in _ONE.finditer(text):
        count = 0.5 if match["count"] == "半" else float(match["count"] or 0)
        if match["under"]:
            count = int(match["over"].replace("一", "1")) / int(match["under"])
        if match["half"] == "个半" or match["more"]:
            count += 0.5
        rest = 900 * int(match["quarters"] or 0) + 60 * int(match["minutes"] or 0)
        found.append(Span(match.start(), match.end(), count * _SECONDS[match["unit"]] + rest))
    return merge_durations(text, found, _JOINED)


_SHOWN = (("天", 86_400), ("小时", 3600), ("分钟", 60), ("秒", 1))


def offsets_from_now(text: str) -> list[Span[float]]:
    """The durations that a text counts from now: 两小时后, 一小时前, 马上."""
    found = [Span(0, len(text), 0.0)] if _NOW.match(text) else []
    for after in _AFTER.finditer(text):
        # The text is cut there, since `durations` rejects a duration that 后 or 前 follows.
        whole = [each for each in durations(text[: after.start()]) if each.end == after.start()]
        sign = 1 if after["sign"] == "后" else -1
        found += [Span(each.start, after.end(), sign * each.value) for each in whole]
    return found


def format_duration(seconds: float) -> str:
    """Seconds in words: 2小时30分钟."""
    parts, left = [], round(seconds)
    for name, length in _SHOWN:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0秒"
