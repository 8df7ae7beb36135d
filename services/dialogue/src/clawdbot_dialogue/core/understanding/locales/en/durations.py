"""English lengths of time: "an hour and a half", "three quarters of an hour", "2 hours 30"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.understanding.locale import Found
from clawdbot_dialogue.core.understanding.matching import lengths

_SECONDS: Mapping[str, int] = {
    "second": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86_400, "night": 86_400, "week": 604_800,
}  # fmt: skip
_PARTS: Mapping[str, int] = {"half": 2, "halve": 2, "quarter": 4}
"""Each by what it divides into."""
_PART = rf"(?:an? |\d )?(?:{'|'.join(_PARTS)})s?|\d/[2-9]"
_NTH = r"(?:an?|\d) [1-9]\d?(?:rd|th)s?(?= of)"
_READ_PART = re.compile(
    rf"(?:(?P<parts>an?|\d) )?(?P<part>{'|'.join(_PARTS)}|\d{{1,2}}(?=rd|th))|(?P<over>\d)/(?P<under>\d+)"
)
_LENGTH = re.compile(
    rf"(?<![\w.,:/])(?:(?P<count>\d{{1,6}}(?:\.\d{{1,3}})?|an?)(?: (?P<more>\d/[2-9]))?"
    rf"|(?P<part>{_PART}|{_NTH})(?: of)?(?: an?)?)"
    rf" (?P<unit>{'|'.join(_SECONDS)})s?\b"
    rf"(?: and (?P<after>{_PART})(?! of\b| an?\b| to\b| past\b))?"
    r"(?:(?:(?<=hour)|(?<=hours)) (?P<minutes>[0-5]\d)(?= ?(?:$|[,.!?;])))?"
)
""" "1 hour 45" goes no further, so that "2 hours 30 guests" says what it says."""
_JOINED = re.compile(r"^,?(?: and)? ?$")


def durations(text: str) -> list[Found[float]]:
    """The lengths of time that a text with digits names, in seconds."""
    found = []
    for match in _LENGTH.finditer(text):
        figures = match["count"] or "0"
        count = float(figures) if figures[0].isdigit() else 1.0
        count += sum(_part(match[each]) for each in ("part", "more", "after") if match[each])
        seconds = count * _SECONDS[match["unit"]] + 60 * int(match["minutes"] or 0)
        found.append(Found(match.start(), match.end(), seconds))
    return lengths(text, found, _JOINED)


def _part(words: str) -> float:
    """What "3 quarters", "a 3rd" or "3/4" is of a whole."""
    found = _READ_PART.match(words)
    if not found:
        return 0.0
    if found["over"]:
        return int(found["over"]) / int(found["under"])
    parts = found["parts"] or "1"
    return (int(parts) if parts.isdigit() else 1) / (_PARTS.get(found["part"]) or int(found["part"]))


def show_duration(seconds: float) -> str:
    """Seconds as a person says them."""
    parts, left = [], round(seconds)
    for name in ("day", "hour", "minute", "second"):
        count, left = divmod(left, _SECONDS[name])
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"
