"""Chinese times of day: 七点, 晚上七点半, 下午三点一刻, 差五分八点, 19:30, 中午.

An hour without a part of the day has two readings, likeliest first, as in English; the caller picks the first
one that fits. The part of the day is the last one mentioned before the hour (明晚大概七点), else the first
one after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clawdbot_dialogue.core.language.pattern_rules import Rule, rule, scan
from clawdbot_dialogue.core.language.span import Span

_PARTS = (
    ("dawn", r"凌晨"),
    ("morning", r"早上(?!好)|早晨|清晨|一早|上午(?!好)|早餐|早饭|早(?!点|一点|些|安)"),
    ("noon", r"中午(?!好)|正午|午间|午餐|午饭"),
    ("afternoon", r"下午(?!好)|午后|傍晚"),
    ("evening", r"晚上(?!好)|夜里|夜晚|半夜|深夜|午夜|今夜|晚餐|晚饭|晚(?!点|一点|些|安|上好)"),
)
_PART = re.compile("|".join(f"(?P<{name}>{words})" for name, words in _PARTS))
_Readings = tuple[str, ...]


def _show(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _part(text: str, start: int) -> str:
    before = [str(found.lastgroup) for found in _PART.finditer(text, 0, start)]
    if before:
        return before[-1]
    after = _PART.search(text, start)
    return str(after.lastgroup) if after else ""


def am_or_pm(text: str) -> str:
    """Which half of the day the text mentions last."""
    parts = [str(found.lastgroup) for found in _PART.finditer(text)]
    return ("am" if parts[-1] in ("dawn", "morning") else "pm") if parts else ""


def _readings(hour: int, minute: int, part: str, *, exact: bool = False) -> _Readings:
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        return ()
    hour %= 24
    if hour > 12 or hour == 0:
        return (_show(hour, minute),)
    morning, later = _show(hour % 12, minute), _show(hour % 12 + 12, minute)
    if part in _IS_PM:
        return (later if _IS_PM[part](hour) else morning,)
    if exact:
        return (_show(hour, minute),)
    # From one to six, and at twelve, people mean the afternoon; from seven on either.
    return (later, morning) if hour < 7 or hour == 12 else (morning, later)


_IS_PM: dict[str, Callable[[int], bool]] = {
    "dawn": lambda _: False,
    "morning": lambda hour: hour == 12,
    "noon": lambda hour: hour < 3 or hour == 12,
    "afternoon": lambda _: True,
    "evening": lambda hour: 5 <= hour < 12,
}
"""Part of the day → whether an hour of the twelve-hour clock is pm; 晚上12点 is midnight."""


def _clock(found: re.Match[str], part: str) -> _Readings:
    groups = found.groupdict()
    if half := groups.get("half"):
        part = "afternoon" if half == "p" else "dawn"
    hour, given = int(found["hour"]), groups.get("minute") or "0"
    minute = {"半": 30, "1刻": 15, "3刻": 45}.get(given)
    exact = found["hour"].startswith("0") and len(found["hour"]) == 2
    return _readings(hour, int(given.rstrip("分")) if minute is None else minute, part, exact=exact)


def _before(found: re.Match[str], part: str) -> _Readings:
    hour, before = int(found["hour"]), {"1刻": 15}.get(found["before"]) or int(found["before"])
    if not 0 < before < 60 or hour > 24:
        return ()
    return _readings((hour - 1) % 24 or (12 if hour <= 12 else 24), 60 - before, part)


def _named(found: re.Match[str], _: str) -> _Readings:
    return ("00:00",) if found["name"] == "午夜" else ("12:00",)


_HOUR = r"(?<![\d:/-])(?<!\d[.,])(?P<hour>[01]?\d|2[0-4])"
_OCLOCK = r"(?:点|时(?![候间]))(?![心菜餐单赞击评])(?:钟|整)?"
_NOT_A_COUNT = r"(?! ?(?:位|个|人|名|口|桌|份|块|元|天|%)|[:/.-]?\d)"
_MINUTE = rf"(?P<minute>半|[13]刻|0\d(?!\d)分?|[1-5]\d(?!\d)(?:分|{_NOT_A_COUNT})|\d分)"


def _rules(
    *rules: tuple[str, Callable[[re.Match[str], str], _Readings]],
) -> tuple[Rule[str, _Readings], ...]:
    return tuple(rule("", pattern, interpret) for pattern, interpret in rules)


_BEFORE = r"(?P<before>1刻|[1-5]?\d(?=分))(?:分钟?|钟)?"
_EXPLICIT = _rules(
    (rf"差{_BEFORE}(?:到|就)?{_HOUR}{_OCLOCK}", _before),
    (rf"{_HOUR}{_OCLOCK}差{_BEFORE}", _before),
    (rf"{_HOUR}:(?P<minute>[0-5]\d)(?![\d:]) ?(?:(?P<half>[ap])\.?m\b\.?)?", _clock),
    (rf"{_HOUR} ?(?P<half>[ap])\.?m\b\.?", _clock),
    (rf"{_HOUR}{_OCLOCK}(?:过|零|0(?=\d分?))? ?{_MINUTE}", _clock),
    (rf"{_HOUR}{_OCLOCK}", _clock),
    (rf"{_HOUR}(?=[或到至、~-]_)", _clock),
)
_NAMES = _rules((r"(?P<name>中午(?!好)|正午|午夜)(?!\d)", _named))
"""Only if the text has no hour: 中午一点 is one o'clock."""
_BARE = _rules((rf"{_HOUR}(?:[:.]?(?P<minute>[0-5]\d))?{_NOT_A_COUNT}(?!号|月|年)", _clock))
_HINT = re.compile(r"\d|中午|正午|午夜")


def times(text: str, asked: bool, _counting: bool) -> list[Span[tuple[str, ...]]]:
    """The times of day in the text, each with its possible readings.

    Args:
        text: Normalized, with digits. Dates that were found before are blanked out, except for words that
            name a part of the day.
        asked: True if a time was asked for, so a bare number is one.
    """
    if not _HINT.search(text):
        return []
    found: list[Span[tuple[str, ...]]] = []
    for rules in (_EXPLICIT, _NAMES, _BARE if asked else ()):
        if not found:
            found, text = scan(text, rules, _part)
    return sorted(found, key=lambda each: each.start)
