"""English dates: "tomorrow", "next Friday", "on the 3rd", "5 December", "2026-12-01".

A date without a year or month is the next one from today on, or the last one up to today if only the past is
possible. A weekday alone is the next one after today; "this Friday" may be today; "next Friday" is in the
week after this one; weeks begin on Monday. Dates such as 3/4 are read only if they are unambiguous, since the
first number is the month in some countries and the day in others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from clawdbot_dialogue.core.language.pattern_rules import (
    DateRule,
    ReferenceDate,
    date_or_none,
    range_within_month,
    rule,
    scan_dates,
)
from clawdbot_dialogue.core.language.span import Span

_MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = {
    short: number for number, name in enumerate(_MONTH_NAMES, 1) for short in (name.lower(), name[:3].lower())
} | {"sept": 9}
_DAYS = {
    short: number for number, name in enumerate(_DAY_NAMES) for short in (name.lower(), name[:3].lower())
} | {
    "tues": 1, "thur": 3, "thurs": 3,
}  # fmt: skip
_NAMED = {
    "today": 0, "tonight": 0, "this morning": 0, "this afternoon": 0, "this evening": 0,
    "yesterday": -1, "last night": -1, "day before yesterday": -2, "the day before yesterday": -2,
    "tomorrow": 1, "tmrw": 1, "tmr": 1, "day after tomorrow": 2, "the day after tomorrow": 2,
}  # fmt: skip
_HOLIDAYS = {
    "new years": (1, 1), "valentines": (2, 14), "halloween": (10, 31), "christmas eve": (12, 24),
    "christmas": (12, 25), "boxing": (12, 26), "new years eve": (12, 31),
}  # fmt: skip
"""Holidays that have the same date every year everywhere; their names without apostrophes and "day"."""
_HOLIDAY = (
    r"(?:new year'?s|christmas) eve|(?:new year'?s|christmas|valentine'?s)(?: day)?|boxing day|halloween"
)
_UNITS = {"day": 1, "week": 7, "fortnight": 14}
_UNIT = r"days?|weeks?|fortnight"
_MAX_DAYS_AHEAD = 3660
"""How many days ahead "in N days" may be: ten years."""


def _any(words: dict[str, int]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_IN_MONTHS = "|".join(name[:3].lower() for name in _MONTH_NAMES)
_IN_DAYS = "|".join(name[:3].lower() for name in _DAY_NAMES)
"""What every month and every weekday begins with, as hints."""
_MONTH = rf"(?P<month>{_any(_MONTHS)})\.?"
_WEEKDAY = rf"(?:(?<!the )(?<!we )(?<!i )(?P<weekday>{_any(_DAYS)}))"
_WHICH = "this|next|coming|last"
_LEAD = rf"(?:(?:on )?(?:{_any(_DAYS)}),? )?(?:on )?(?:the )?"
_TH = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,? (?P<year>(?:19|20)\d\d|'\d\d))?"
_NOT_A_COUNT = r"(?! (?:people|persons?|guests?|adults?|seats?|of us))"
_NOT_THE_NTH = (
    r"(?! (?:anniversary|birthday|visit|wedding|course|item|pizza|thing|time|option|choice|person|floor"
    r"|place|one))"
)


def _month_day(found: re.Match[str], today: ReferenceDate) -> date | None:
    month, day = _MONTHS[found["month"]], int(found["day"])
    if found["year"]:
        return date_or_none(_year(found["year"], today), month, day)
    return today.nearest_month_day(month, day)


def _year(digits: str, today: ReferenceDate) -> int:
    """A year of four digits, or of two after an apostrophe, which is never more than ten years ahead."""
    if len(digits) == 4:
        return int(digits)
    year = 2000 + int(digits[1:])
    return year if year <= today.day.year + (0 if today.prefer_past else 10) else year - 100


def _nth(found: re.Match[str], today: ReferenceDate) -> date | None:
    return today.nearest_day_of_month(int(found["day"]))


def _numeric(found: re.Match[str], _: ReferenceDate) -> date | None:
    return date_or_none(int(found["y"]), int(found["m"]), int(found["d"]))


def _slashes(found: re.Match[str], today: ReferenceDate) -> date | None:
    first, second, year = int(found["first"]), int(found["second"]), found["y"]
    if (first > 12) == (second > 12) and first != second:
        return None
    month, day = (second, first) if first > 12 else (first, second)
    if year:
        return date_or_none(int(year) + (2000 if len(year) == 2 else 0), month, day)
    return today.nearest_month_day(month, day)


def _named(found: re.Match[str], today: ReferenceDate) -> date | None:
    return today.day + timedelta(days=_NAMED[found["name"]])


def _day_after(_: re.Match[str], today: ReferenceDate) -> date | None:
    return today.day + timedelta(days=2)


def _ahead(found: re.Match[str], today: ReferenceDate) -> date | None:
    count = 1 if found["count"] in ("a", "the") else int(found["count"])
    days = count * next(days for unit, days in _UNITS.items() if found["unit"].startswith(unit))
    return today.day + timedelta(days=days) if days <= _MAX_DAYS_AHEAD else None


def _weeks_after(found: re.Match[str], today: ReferenceDate) -> date | None:
    weeks = int(found["count"]) if found["count"].isdigit() else 1
    return today.nearest_weekday(_DAYS[found["weekday"]], or_today=False) + timedelta(days=7 * weeks)


def _holiday(found: re.Match[str], today: ReferenceDate) -> date | None:
    month, day = _HOLIDAYS[found["holiday"].replace("'", "").removesuffix(" day")]
    if found["year"]:
        return date_or_none(_year(found["year"], today), month, day)
    return today.nearest_month_day(month, day)


def _day_month(found: re.Match[str], today: ReferenceDate) -> date | None:
    return today.nearest_month_day(int(found["m"]), int(found["d"]))


def _ago(found: re.Match[str], today: ReferenceDate) -> date | None:
    ahead = _ahead(found, today)
    return ahead and today.day - (ahead - today.day)


def _weekday(found: re.Match[str], today: ReferenceDate) -> date | None:
    wanted = _DAYS[found["weekday"]]
    which = found["which"] or ""
    if which == "next" or found["after"]:
        monday = today.day - timedelta(days=today.day.weekday())
        return monday + timedelta(days=7 + wanted)
    if which == "last":
        return ReferenceDate(today.day, prefer_past=True).nearest_weekday(wanted, or_today=False)
    return today.nearest_weekday(wanted, or_today=which == "this")


_RULES: tuple[DateRule, ...] = tuple(
    rule(hints, pattern, interpret)
    for hints, pattern, interpret in (
        ("-|/|.", r"\b(?:on )?(?P<y>(?:19|20)\d\d)[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})\b", _numeric),
        (".", r"\b(?:on )?(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>(?:19|20)\d\d)\b", _numeric),
        (_IN_MONTHS, rf"\b{_LEAD}{_TH} (?:of )?{_MONTH}\b{_YEAR}", _month_day),
        (_IN_MONTHS, rf"\b{_LEAD}{_MONTH} (?:the )?{_TH}\b{_YEAR}{_NOT_A_COUNT}", _month_day),
        ("/", r"(?<![\d/])(?P<first>\d{1,2})/(?P<second>\d{1,2})(?:/(?P<y>\d{4}|\d{2}))?(?![\d/])", _slashes),
        (".", r"\b(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?!\d)", _day_month),
        ("in ", rf"\bin (?P<count>\d{{1,4}}|a) (?P<unit>{_UNIT})\b", _ahead),
        (" from ", rf"\b(?P<count>\d{{1,4}}|a) (?P<unit>{_UNIT}) from (?:now|today)\b", _ahead),
        (" ago", rf"\b(?P<count>\d{{1,4}}|a) (?P<unit>{_UNIT}) ago\b", _ago),
        (" week", rf"\b(?P<count>\d{{1,2}}|a) weeks? (?:from|on|after) {_WEEKDAY}\b", _weeks_after),
        (" week", rf"\b{_WEEKDAY}(?P<count>) week\b", _weeks_after),
        (
            "new year|christmas|valentine|boxing|halloween",
            rf"(?<!before )(?<!after )(?<!until )\b(?:on )?(?P<holiday>{_HOLIDAY})\b{_YEAR}",
            _holiday,
        ),
        ("day after", r"(?<=tomorrow or )the day after\b(?! tomorrow)", _day_after),
        ("to|this|yest|tm|last night", rf"\b(?P<name>{_any(_NAMED)})\b", _named),
        ("next week", rf"\b(?:on )?(?P<after>next week,? (?:on )?){_WEEKDAY}(?P<which>)\b", _weekday),
        ("st|nd|rd|th", rf"\b{_LEAD}(?P<day>\d{{1,2}})(?:st|nd|rd|th)\b{_NOT_THE_NTH}", _nth),
        (
            _IN_DAYS,
            rf"\b(?:on )?(?:(?P<which>{_WHICH}) )?{_WEEKDAY}\b(?P<after> (?:of )?next week)?",
            _weekday,
        ),
    )
)  # fmt: skip
"""In order of precedence: a later rule does not see what an earlier one matched."""
_TO = r"(?P<to> ?[-–] ?| to | till | until | through | or )(?:the )?"
_IN_TO = ("-", "–", " to ", " till ", " until ", " through ", " or ")
_NTH = r"(?:st|nd|rd|th)?"
_RANGES = (
    re.compile(
        rf"\b{_MONTH} (?:the )?(?P<first>\d{{1,2}}){_NTH}{_TO}(?P<last>\d{{1,2}}){_NTH}\b"
        rf"(?! ?(?:[ap]\.?m\b|:\d|{_any(_MONTHS)})){_NOT_A_COUNT}"
    ),
    re.compile(rf"(?<![\d.:/-])(?P<first>\d{{1,2}}){_NTH}{_TO}(?P<last>\d{{1,2}}){_NTH} (?:of )?{_MONTH}\b"),
)
"""Ranges within one month: "December 3-5", "from the 3rd to the 5th of December"."""
_RULES_WITHOUT_DIGITS = tuple(
    each for each in _RULES if each[2] not in {_numeric, _month_day, _slashes, _nth}
)
"""The rules that can match a text without digits."""
_DIGIT = re.compile(r"\d")
_HINT = re.compile(
    r"\d(?:[-/.]\d|st\b|nd\b|rd\b|th\b)|(?:\d|\ba) (?:day|week|fort)|christm|year'?s|valent|hallow|boxing"
    rf"|\b(?:to[md]|yest|last night|day before|tonight|tmr|this |{_any(_DAYS)})|{_any(_MONTHS)}"
)
"""Matches some part of every date in English. Most messages do not match it and need no further scan."""


def dates(text: str, today: date, past: bool = False) -> list[Span[date]]:
    """The dates in the text; dates that do not exist (31 November) are left out."""
    if not _HINT.search(text):
        return []
    from_day = ReferenceDate(today, past)
    if not _DIGIT.search(text):
        return scan_dates(text, from_day, _RULES_WITHOUT_DIGITS)
    return scan_dates(text, from_day, _RULES, _ranges(text, from_day))


def _ranges(text: str, today: ReferenceDate) -> Iterator[Span[date]]:
    for pattern in _RANGES if any(map(text.__contains__, _IN_TO)) else ():
        for match in pattern.finditer(text):
            first = today.nearest_month_day(_MONTHS[match["month"]], int(match["first"]))
            yield from range_within_month(match, first)


def format_date(day: date) -> str:
    """The date as "Tuesday, 1 December 2026"."""
    return f"{_DAY_NAMES[day.weekday()]}, {day.day} {_MONTH_NAMES[day.month - 1]} {day.year}"


def format_datetime(when: datetime) -> str:
    """The datetime as "Tuesday, 1 December 2026 at 19:30"."""
    return f"{format_date(when.date())} at {when:%H:%M}"
