"""English lengths of time: "an hour and a half", "3/4 of an hour", "2 hours 30", "1h30", "90min"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.language.pattern_rules import lengths
from clawdbot_dialogue.core.language.span import Found

_SECONDS: Mapping[str, int] = {
    "second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "day": 86_400, "night": 86_400,
    "week": 604_800, "wk": 604_800, "fortnight": 1_209_600,
}  # fmt: skip
_LETTERS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Only touching their figures."""
_PARTS: Mapping[str, int] = {"half": 2, "halve": 2, "quarter": 4}
"""Each by what it divides into."""
_PART = rf"(?:an? |\d )?(?:{'|'.join(_PARTS)})s?|\d/[2-9]"
_NTH = r"(?:an?|\d) [1-9]\d?(?:rd|th)s?(?= of)"
_READ_PART = re.compile(
    rf"(?:(?P<parts>an?|\d) )?(?P<part>{'|'.join(_PARTS)}|\d{{1,2}}(?=rd|th))|(?P<over>\d)/(?P<under>\d+)"
)
_LENGTH = re.compile(
    rf"(?:(?<![\w.,:/])|(?<=\d[dhmw]))(?:(?P<count>\d{{1,6}}(?:\.\d{{1,3}})?|an?)(?: (?P<more>\d/[2-9]))?"
    rf"|(?P<part>{_PART}|{_NTH})(?: of)?(?: an?)?)"
    rf"(?: ?(?P<unit>{'|'.join(_SECONDS)})s?|(?<=\d)(?P<letter>[{''.join(_LETTERS)}]))(?![a-z])"
    rf"(?: and (?P<after>{_PART})(?! of\b| an?\b| to\b| past\b))?"
    r"(?:(?<=\dh)(?P<glued>[0-5]\d)(?![\w:])"
    r"|(?:(?<=hour)|(?<=hours)|(?<=hr)|(?<=hrs)|(?<=\dh)) (?P<minutes>[0-5]\d)(?= ?(?:$|[,.!?;])))?"
)
""" "1 hour 45" goes no further, so that "2 hours 30 guests" says what it says."""
_AT_ONCE = re.compile(
    r"^(?:right now|now|right away|immediately|at once|straight away|as soon as possible|asap)"
    r"(?:[ ,]+please)?[ .!]*$"
)
_IN = re.compile(r"\bin (?:about |around )?$")
_JOINED = re.compile(r"^,?(?: and)? ?$")


def durations(text: str) -> list[Found[float]]:
    """The lengths of time that a text with digits names, in seconds."""
    found = []
    for match in _LENGTH.finditer(text):
        figures = match["count"] or "0"
        count = float(figures) if figures[0].isdigit() else 1.0
        count += sum(_part(match[each]) for each in ("part", "more", "after") if match[each])
        minutes = int(match["glued"] or match["minutes"] or 0)
        unit = _LETTERS[match["letter"]] if match["letter"] else _SECONDS[match["unit"]]
        seconds = count * unit + 60 * minutes
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


def from_now(text: str) -> list[Found[float]]:
    """The lengths of time that a text counts from now: "in 2 hours", "2 hours ago", "right away"."""
    if _AT_ONCE.match(text):
        return [Found(0, len(text), 0.0)]
    said = durations(text)
    ago = [Found(each.start, each.end, -each.value) for each in said if text.startswith(" ago", each.end)]
    ahead = [
        each for each in said if _IN.search(text[: each.start]) or text.startswith(" from now", each.end)
    ]
    return [*ahead, *ago]


def show_duration(seconds: float) -> str:
    """Seconds as a person says them."""
    parts, left = [], round(seconds)
    for name in ("day", "hour", "minute", "second"):
        count, left = divmod(left, _SECONDS[name])
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"
