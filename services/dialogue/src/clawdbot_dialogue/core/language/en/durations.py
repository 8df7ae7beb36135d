"""English durations: "an hour and a half", "3/4 of an hour", "2 hours 30", "1h30", "90min"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawdbot_dialogue.core.language.pattern_rules import merge_durations
from clawdbot_dialogue.core.language.span import Span

_SECONDS: Mapping[str, int] = {
    "second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "day": 86_400, "night": 86_400,
    "week": 604_800, "wk": 604_800, "fortnight": 1_209_600,
}  # fmt: skip
_LETTERS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Units of one letter, only directly after their number."""
_DENOMINATORS: Mapping[str, int] = {"half": 2, "halve": 2, "quarter": 4}
"""Fraction → its denominator."""
_FRACTION = rf"(?:an? |\d )?(?:{'|'.join(_DENOMINATORS)})s?|\d/[2-9]"
_NTH = r"(?:an?|\d) [1-9]\d?(?:rd|th)s?(?= of)"
_READ_FRACTION = re.compile(
    rf"(?:(?P<parts>an?|\d) )?(?P<part>{'|'.join(_DENOMINATORS)}|\d{{1,2}}(?=rd|th))"
    r"|(?P<over>\d)/(?P<under>\d+)"
)
_LENGTH = re.compile(
    rf"(?:(?<![\w.,:/])|(?<=\d[dhmw]))(?:(?P<count>\d{{1,6}}(?:\.\d{{1,3}})?|an?)(?: (?P<more>\d/[2-9]))?"
    rf"|(?P<part>{_FRACTION}|{_NTH})(?: of)?(?: an?)?)"
    rf"(?: ?(?P<unit>{'|'.join(_SECONDS)})s?|(?<=\d)(?P<letter>[{''.join(_LETTERS)}]))(?![a-z])"
    rf"(?: and (?P<after>{_FRACTION})(?! of\b| an?\b| to\b| past\b))?"
    r"(?:(?<=\dh)(?P<glued>[0-5]\d)(?![\w:])"
    r"|(?:(?<=hour)|(?<=hours)|(?<=hr)|(?<=hrs)|(?<=\dh)) (?P<minutes>[0-5]\d)(?= ?(?:$|[,.!?;])))?"
)
"""Minutes without a unit ("1 hour 45") count only at the end of a clause, so "2 hours 30 guests" is 2
hours."""
_NOW = re.compile(
    r"^(?:right now|now|right away|immediately|at once|straight away|as soon as possible|asap)"
    r"(?:[ ,]+please)?[ .!]*$"
)
_IN = re.compile(r"\bin (?:about |around )?$")
_JOINED = re.compile(r"^,?(?: and)? ?$")


def durations(text: str) -> list[Span[float]]:
    """The durations in a text with digits, in seconds."""
    found = []
    for match in _LENGTH.finditer(text):
        number = match["count"] or "0"
        count = float(number) if number[0].isdigit() else 1.0
        count += sum(_fraction(match[each]) for each in ("part", "more", "after") if match[each])
        minutes = int(match["glued"] or match["minutes"] or 0)
        unit = _LETTERS[match["letter"]] if match["letter"] else _SECONDS[match["unit"]]
        seconds = count * unit + 60 * minutes
        found.append(Span(match.start(), match.end(), seconds))
    return merge_durations(text, found, _JOINED)


def _fraction(words: str) -> float:
    """The value of "3 quarters", "a 3rd" or "3/4"."""
    found = _READ_FRACTION.match(words)
    if not found:
        return 0.0
    if found["over"]:
        return int(found["over"]) / int(found["under"])
    parts = found["parts"] or "1"
    return (int(parts) if parts.isdigit() else 1) / (_DENOMINATORS.get(found["part"]) or int(found["part"]))


def offsets_from_now(text: str) -> list[Span[float]]:
    """The durations that a text counts from now: "in 2 hours", "2 hours ago", "right away"."""
    if _NOW.match(text):
        return [Span(0, len(text), 0.0)]
    found = durations(text)
    ago = [Span(each.start, each.end, -each.value) for each in found if text.startswith(" ago", each.end)]
    ahead = [
        each for each in found if _IN.search(text[: each.start]) or text.startswith(" from now", each.end)
    ]
    return [*ahead, *ago]


def format_duration(seconds: float) -> str:
    """Seconds in words: "2 hours 30 minutes"."""
    parts, left = [], round(seconds)
    for name in ("day", "hour", "minute", "second"):
        count, left = divmod(left, _SECONDS[name])
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"
