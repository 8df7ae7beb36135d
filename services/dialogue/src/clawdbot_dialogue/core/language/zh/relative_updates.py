"""Chinese that moves a value that is known: 多一位, 少两个人, 晚半小时, 提前一天."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clawdbot_dialogue.core.language.span import Found, Shift
from clawdbot_dialogue.core.language.zh.durations import durations

_MORE = re.compile(
    r"(?:(?P<more>再?多|再加上?|再来|增加|另加)|(?P<less>减少|减掉|减去|减|少))(?:[加带来去了]{0,2})"
    r"(?P<count>\d{1,3})(?=位|个人|名|人)"
)
_WAY = re.compile(
    r"(?:(?P<later>(?<![今明后昨当每])晚|推迟|延后|延迟|往?后推?|改晚)|(?<![今明后昨])早|提前|提早|往前|改早)了?$"
)
_HINT = re.compile(r"[多加来增减少晚推延后早提前]")


def shifts(text: str) -> Iterator[Found[Shift]]:
    """By how much the text moves what is known."""
    if not _HINT.search(text):
        return
    for found in _MORE.finditer(text):
        count = int(found["count"])
        yield Found(*found.span(), Shift("number", count if found["more"] else -count))
    for length in durations(text):
        if way := _WAY.search(text[: length.start]):
            seconds = round(length.value) if way["later"] else -round(length.value)
            yield Found(way.start(), length.end, Shift.by(seconds))
