"""Chinese changes of a known value: 多一位, 少两个人, 晚半小时, 提前一天."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clawdbot_dialogue.core.language.span import RelativeUpdate, Span
from clawdbot_dialogue.core.language.zh.durations import durations

_MORE = re.compile(
    r"(?:(?P<more>再?多|再加上?|再来|增加|另加)|(?P<less>减少|减掉|减去|减|少))(?:[加带来去了]{0,2})"
    r"(?P<count>\d{1,3})(?=位|个人|名|人)"
)
_LATER = re.compile(
    r"(?:(?P<later>(?<![今明后昨当每])晚|推迟|延后|延迟|往?后推?|改晚)|(?<![今明后昨])早|提前|提早|往前|改早)了?$"
)
_HINT = re.compile(r"[多加来增减少晚推延后早提前]")


def relative_updates(text: str) -> Iterator[Span[RelativeUpdate]]:
    """By how much a text with digits changes known values."""
    if not _HINT.search(text):
        return
    for found in _MORE.finditer(text):
        count = int(found["count"])
        yield Span(*found.span(), RelativeUpdate("number", count if found["more"] else -count))
    for duration in durations(text):
        if direction := _LATER.search(text[: duration.start]):
            seconds = round(duration.value) if direction["later"] else -round(duration.value)
            yield Span(direction.start(), duration.end, RelativeUpdate.from_seconds(seconds))
