"""English times of day: "7pm", "half past seven", "at 7", "19:30", "noon".

A time on the twelve-hour clock without am or pm has two readings, likeliest first; the caller picks the first
one that fits (for a restaurant open from 11:00 to 22:00, "at 7" is 19:00).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import starmap

from clawdbot_dialogue.core.language.pattern_rules import Rule, mask, rule, scan
from clawdbot_dialogue.core.language.span import Span

_PART = r"(?: in the (?P<part>morning|afternoon|evening)| at (?P<night>night))"
_HALF = rf"(?: ?(?P<half>a\.?m\b\.?|p\.?m\b\.?)|{_PART})?"
_MINUTES = r"(?P<minutes>half|(?:a )?quarter|\d{1,2})(?: minutes?)?"
_DIRECTIONS = "past|after|to|before"
_DIRECTION = rf"(?P<direction>{_DIRECTIONS})"
_CLOCK = r"(?: ?o'?clock)?"
_NOT_A_COUNT = (
    r"(?! ?(?:people|persons?|guests?|adults?|children|kids|seats?|of us|nights?|days?|weeks?|hours?"
    r"|%|\d|[:/.,-]\d|st\b|nd\b|rd\b|th\b))"
)
_MORNING = re.compile(r"\b(?:this )?morning\b|\bbreakfast\b")
_LATER = re.compile(r"\b(?:tonight|evening|afternoon|night|dinner|supper)\b")

_Readings = tuple[str, ...]


def _readings(
    hour: int, minute: int, exact: bool, groups: Mapping[str, str | None], default_half: str
) -> _Readings:
    if hour > 23 or minute > 59:
        return ()
    half = _half(groups, hour, default_half)
    if half is None and (exact or hour > 12 or hour == 0):
        return (_show(hour, minute),)
    if hour > 12:
        return (_show(hour, minute),)
    morning, later = _show(hour % 12, minute), _show(hour % 12 + 12, minute)
    if half is not None:
        return (later if half == "pm" else morning,)
    # From one to six, and at twelve, people mean the afternoon; from seven on either.
    return (later, morning) if hour < 7 or hour == 12 else (morning, later)


def _half(groups: Mapping[str, str | None], hour: int, default_half: str) -> str | None:
    if half := groups.get("half"):
        return half[0] + "m"
    if part := groups.get("part"):
        return "am" if part == "morning" else "pm"
    if groups.get("night"):
        return "pm" if 5 <= hour < 12 else "am"
    # "Twelve, for dinner" is ambiguous: noon or midnight.
    return (None if default_half == "pm" and hour == 12 else default_half) or None


def am_or_pm(text: str) -> str:
    """Which half of the day the text as a whole mentions: "a table for tonight … at 8"."""
    if _LATER.search(text):
        return "pm"
    return "am" if _MORNING.search(text) else ""


def _show(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _clock(found: re.Match[str], default_half: str) -> _Readings:
    exact = found["hour"].startswith("0") and len(found["hour"]) == 2
    return _readings(int(found["hour"]), int(found["minute"] or 0), exact, found.groupdict(), default_half)


def _past(found: re.Match[str], default_half: str) -> _Readings:
    minutes = {"half": 30, "quarter": 15, "a quarter": 15}.get(found["minutes"]) or int(found["minutes"])
    hour = int(found["hour"])
    # "4 to 6" is a range; "5 to 6" is a time of day, "from 5 to 6" is a range again.
    is_range = (minutes % 5 and "minute" not in found[0]) or found[0].startswith("from")
    if not 0 < minutes < 60 or hour > 23 or (found["direction"] == "to" and is_range):
        return ()
    if found["direction"] in ("to", "before"):
        hour, minutes = (hour - 1) % 24 or (12 if hour <= 12 else 24), 60 - minutes
    return _readings(hour % 24, minutes, False, found.groupdict(), default_half)


def _half_past(found: re.Match[str], default_half: str) -> _Readings:
    return _readings(int(found["hour"]), 30, False, found.groupdict(), default_half)


def _named(found: re.Match[str], _: str) -> _Readings:
    return ("00:00",) if found["name"] == "midnight" else ("12:00",)


_HOUR = r"(?P<hour>[01]?\d|2[0-3])"
_AT = r"\b(?:at|by|@) ?"
_NEAR = r"\b(?:(?:at|by|around|about|from|for|say|make it) ?)?"
_FREE = r"(?<![\d.,:/-])"


def _rules(
    *rules: tuple[str, str, Callable[[re.Match[str], str], _Readings]],
) -> tuple[Rule[str, _Readings], ...]:
    return tuple(starmap(rule, rules))


_EXPLICIT = _rules(
    (_DIRECTIONS, rf"{_NEAR}\b{_MINUTES} {_DIRECTION} {_HOUR}\b{_NOT_A_COUNT}{_CLOCK}{_HALF}", _past),
    (":|h", rf"{_NEAR}{_FREE}{_HOUR}(?::|h(?=\d))(?P<minute>[0-5]\d)(?![\d:m])(?: ?hours)?{_HALF}", _clock),
    ("m", rf"{_NEAR}{_FREE}{_HOUR}(?:[. ](?P<minute>[0-5]\d))? ?(?P<half>a\.?m\b\.?|p\.?m\b\.?)", _clock),
    ("clock", rf"{_NEAR}{_FREE}{_HOUR}(?P<minute>) ?o'?clock{_HALF}", _clock),
    (" in the | at night", rf"{_NEAR}{_FREE}{_HOUR}(?P<minute>){_PART}\b", _clock),
    ("noon|midday|midnight", rf"{_NEAR}\b(?P<name>noon|midday|midnight)\b", _named),
    ("at|by|@", rf"{_AT}{_HOUR}(?:[. ](?P<minute>[0-5]\d))?\b{_NOT_A_COUNT}", _clock),
    ("half", rf"\bhalf {_HOUR}\b{_NOT_A_COUNT}{_HALF}", _half_past),
    ("h", r"(?<![\d.,:/-])(?P<hour>1[3-9]|2[0-3])(?P<minute>) ?h(?:rs|ours)?\b", _clock),
    (" or ", rf"(?<=_ or ){_HOUR}(?:[. ](?P<minute>[0-5]\d))?\b{_NOT_A_COUNT}", _clock),
    (" or ", rf"(?<![\w.,:/-]){_HOUR}(?P<minute>)(?= or _)", _clock),
)  # fmt: skip
_BARE = _rules(("", rf"{_NEAR}(?<![\w.,:/-]){_HOUR}(?:[. ]?(?P<minute>[0-5]\d))?\b{_NOT_A_COUNT}", _clock))
_TIME = r"\d{1,2}(?::[0-5]\d)?"
_AM_PM = r"(?: ?(?P<{}>[ap])\.?m\b\.?)?"
_RANGE = re.compile(
    rf"(?:\b(?P<lead>between|from) )?(?<![\d.,:/-])(?P<first>{_TIME}){_AM_PM.format('first_half')}"
    rf"(?P<to> ?[-–] ?| to | till | until | and )(?P<last>{_TIME}){_AM_PM.format('half')}(?!\w){_NOT_A_COUNT}"
)
_RANGE_HINT = re.compile(r" (?:to|till|until|and) \d|[-–]")
_COUNTED = re.compile(
    r"\b(?:for|of|we're|we are|be) \d{1,3}\b|\b\d{1,3} (?:people|persons?|guests?|adults?|of us)\b"
)
_AND_THEN = (
    r"(?= *(?:$|[,.!?;)]|(?:on|for|and|or|please|today|tomorrow|tonight|this|next|if|with|would|is|outside"
    r"|inside|in)\b))"
)
_ROUGHLY = re.compile(r"\b(?:around|about) \d")
_APPROXIMATE = _rules(
    ("", rf"(?<!for )(?<!of )\b(?:around|about) {_HOUR}(?:[. ](?P<minute>[0-5]\d))?{_AND_THEN}", _clock)
)
_HINT = re.compile(r"\d|noon|midday|midnight")
_EXPLICIT_HINT = re.compile(
    r"\d ?[:h]|[ap]\.?m|clock|half|past|after|to|before|in the|\bat|\bby|@|noon|midday|midnight"
)
"""Matches some part of every time of day that is more than a bare number."""


def _ranges(text: str, default_half: str, *, bare: bool) -> Iterator[Span[_Readings]]:
    """Both ends of a range of times. Am or pm at the end applies to the start too: "5-6pm"."""
    for match in _RANGE.finditer(text):
        lead, half, first_half = match["lead"], match["half"], match["first_half"]
        if match["to"] == " and " and lead != "between":
            continue
        if not (half or (lead and (bare or first_half or ":" in match[0]))):
            continue
        (hour, minute), (last, last_minute) = (
            _hour_and_minute(match["first"]),
            _hour_and_minute(match["last"]),
        )
        if hour % 12 <= last % 12:
            first_half = first_half or half
        first = _readings(hour, minute, False, {"half": first_half}, default_half)
        second = _readings(last, last_minute, False, {"half": half or first_half}, default_half)
        if first and second:
            yield Span(match.start("first"), match.start("to"), first)
            yield Span(match.start("last"), match.end(), second)


def _hour_and_minute(clock: str) -> tuple[int, int]:
    hour, _, minute = clock.partition(":")
    return int(hour), int(minute or 0)


def times(text: str, asked: bool, counting: bool) -> list[Span[tuple[str, ...]]]:
    """The times of day in the text, each with its possible readings.

    Args:
        text: Normalized, with digits. Dates that were found before are blanked out, except for words that
            name a part of the day.
        asked: True if a time was asked for, so a bare number is one.
        counting: True if a number was asked for, so "around 8" may be that number.
    """
    if not _HINT.search(text):
        return []
    half = am_or_pm(text)
    found = [*_ranges(text, half, bare=asked or not counting)] if _RANGE_HINT.search(text) else []
    for each in found:
        text = mask(text, each.start, each.end)
    if _EXPLICIT_HINT.search(text):
        explicit, text = scan(text, _EXPLICIT, lambda *_: half)
        found += explicit
    if not found and asked:
        found, _ = scan(text, _BARE, lambda *_: half)
    elif not asked and _ROUGHLY.search(text) and (not counting or _COUNTED.search(text)):
        # "For 2 around 8": another number says how many.
        found += scan(text, _APPROXIMATE, lambda *_: half)[0]
    return sorted(found, key=lambda each: each.start)
