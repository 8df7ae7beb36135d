"""English changes of a known value: "one more person", "half an hour later", "a day earlier"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clawdbot_dialogue.core.language.en.durations import durations
from clawdbot_dialogue.core.language.span import RelativeUpdate, Span

_MORE = re.compile(
    r"\b(?P<count>\d{1,3}|an?|another) (?:(?P<more>more|extra|additional)|(?P<less>less|fewer))\b(?! than)"
    r"|\b(?P<another>another)(?= (?:person|guest|adult|child|kid|friend)\b)"
    r"|\b(?P<noun>\d{1,3}|an?) (?:people|persons?|guests?|adults?|kids|child(?:ren)?)"
    r" (?:(?P<noun_more>more)|less|fewer)\b(?! than)"
)
_LATER = re.compile(r"^ (?:(?P<later>later)|earlier|sooner)\b")
_HINT = re.compile(r"more|extra|addit|less|fewer|another|later|earlier|sooner")


def relative_updates(text: str) -> Iterator[Span[RelativeUpdate]]:
    """By how much a text with digits changes known values."""
    if not _HINT.search(text):
        return
    for found in _MORE.finditer(text):
        count = found["count"] or found["noun"] or "1"
        sign = 1 if found["more"] or found["noun_more"] or found["another"] else -1
        yield Span(*found.span(), RelativeUpdate("number", sign * (int(count) if count.isdigit() else 1)))
    for duration in durations(text):
        if direction := _LATER.match(text[duration.end :]):
            seconds = round(duration.value) if direction["later"] else -round(duration.value)
            yield Span(duration.start, duration.end + direction.end(), RelativeUpdate.from_seconds(seconds))
