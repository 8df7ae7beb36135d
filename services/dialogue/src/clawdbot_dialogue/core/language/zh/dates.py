"""Chinese dates: 明天, 大后天, 下周五, 12月1日, 下个月3号, 两周后, 2026-12-01.

A date without a year or month is the next one from today on, or the last one up to today if only the past is
possible. A weekday alone is the next one after today; 这周五 may be today; 下周五 is in the week after this
one; weeks begin on Monday. 周末 is the Saturday.

Custom rules, since the only maintained library (dateparser) reads 下周五 as a week from today and 12月1日 as
a date long past, and takes a tenth of a second to load.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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

_NAMED: Mapping[str, int] = {
    "大前天": -3, "前天": -2, "昨天": -1, "昨晚": -1, "昨日": -1,
    "今天": 0, "今日": 0, "今儿": 0, "今晚": 0, "今早": 0, "今夜": 0, "当天": 0,
    "明天": 1, "明日": 1, "明儿": 1, "明晚": 1, "明早": 1, "明午": 1, "后天": 2, "后日": 2, "大后天": 3,
}  # fmt: skip
_WEEKDAYS: Mapping[str, int] = dict(zip("一二三四五六日", range(7), strict=True)) | {"天": 6, "末": 5}
_WEEKS: Mapping[str, int] = {"上": -1, "下": 1, "下下": 2}
_MONTHS: Mapping[str, int] = {"上": -1, "这": 0, "本": 0, "下": 1, "下下": 2}
_HOLIDAYS: Mapping[str, tuple[int, int]] = {
    "元旦": (1, 1), "情人节": (2, 14), "劳动节": (5, 1), "五一": (5, 1), "国庆": (10, 1),
    "平安夜": (12, 24), "圣诞": (12, 25), "跨年": (12, 31),
}  # fmt: skip
"""Holidays that have the same date every year."""
_MAX_DAYS_AHEAD = 3660
"""How many days ahead N天后 may be: ten years."""
_WEEK = "(?:周|星期|礼拜)"
_WEEKDAY = rf"{_WEEK}(?P<weekday>[一二三四五六日天])"
_YEARS: Mapping[str, int] = {"前年": -2, "去年": -1, "今年": 0, "明年": 1}
_YEAR = rf"(?P<year>{'|'.join(_YEARS)})?(?<!\d)"
_TAIL = rf"(?:[ ,(]*{_WEEK}[一二三四五六日天]\)?)?"
_NUMBER = "号(?![楼桌线码店房门院厅包])"
_LATER = "(?:之后|以后|过后|后)"


def _numeric(found: re.Match[str], _: ReferenceDate) -> date | None:
    return date_or_none(int(found["y"]), int(found["m"]), int(found["d"]))


def _month_day(found: re.Match[str], today: ReferenceDate) -> date | None:
    month, day = int(found["m"]), int(found["d"])
    if found["year"]:
        return date_or_none(today.day.year + _YEARS[found["year"]], month, day)
    return today.nearest_month_day(month, day)


def _in_month(found: re.Match[str], today: ReferenceDate) -> date | None:
    years, month = divmod(today.day.month - 1 + _MONTHS[found["which"]], 12)
    return date_or_none(today.day.year + years, month + 1, int(found["d"]))


def _nth(found: re.Match[str], today: ReferenceDate) -> date | None:
    return today.nearest_day_of_month(int(found["d"]))


def _named(found: re.Match[str], today: ReferenceDate) -> date | None:
    return today.day + timedelta(days=_NAMED[found["name"]])


def _ahead(found: re.Match[str], today: ReferenceDate) -> date | None:
    days = int(found["count"]) * (1 if found["unit"] in "天日" else 7)
    return today.day + timedelta(days=days) if days <= _MAX_DAYS_AHEAD else None


def _ago(found: re.Match[str], today: ReferenceDate) -> date | None:
    ahead = _ahead(found, today)
    return ahead and today.day - (ahead - today.day)


def _months_ahead(found: re.Match[str], today: ReferenceDate) -> date | None:
    if found["count"] == "半":
        return today.day + timedelta(days=15)
    years, month = divmod(today.day.month - 1 + int(found["count"]), 12)
    # 一个月后 on 31 January is the last day of February.
    days = [date_or_none(today.day.year + years, month + 1, day) for day in range(today.day.day, 27, -1)]
    exact = date_or_none(today.day.year + years, month + 1, today.day.day)
    return exact or next((each for each in days if each), None)


def _weekday(found: re.Match[str], today: ReferenceDate) -> date | None:
    wanted, which = _WEEKDAYS[found["weekday"]], found["which"] or ""
    if weeks := _WEEKS.get(which):
        return today.day + timedelta(days=7 * weeks + wanted - today.day.weekday())
    weekend = found["weekday"] == "末"
    if weekend and today.day.weekday() == 6:
        return today.day
    return today.nearest_weekday(wanted, or_today=bool(which) or weekend)


def _in_week(found: re.Match[str], today: ReferenceDate) -> date | None:
    days = 7 * int(found["count"]) + _WEEKDAYS[found["weekday"]] - today.day.weekday()
    return today.day + timedelta(days=days)


def _holiday(found: re.Match[str], today: ReferenceDate) -> date | None:
    return today.nearest_month_day(*_HOLIDAYS[found["holiday"]])


_RULES: tuple[DateRule, ...] = tuple(
    rule(hints, pattern, interpret)
    for hints, pattern, interpret in (
        ("年", rf"(?<!\d)(?P<y>(?:19|20)\d\d)年(?P<m>\d{{1,2}})月(?P<d>\d{{1,2}})[日号]?{_TAIL}", _numeric),
        ("", r"(?<!\d)(?P<y>(?:19|20)\d\d)[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)", _numeric),
        ("月", rf"{_YEAR}(?P<m>\d{{1,2}})月(?:份的?)?(?P<d>\d{{1,2}})[日号]?(?!\d){_TAIL}", _month_day),
        ("/", r"(?P<year>)(?<![\d/])(?P<m>\d{1,2})/(?P<d>\d{1,2})(?![\d/])", _month_day),
        ("月", rf"(?P<which>下下|下|上|这|本)个?月的?(?P<d>\d{{1,2}})[日号]{_TAIL}", _in_month),
        ("后", rf"(?<!\d)(?P<count>\d{{1,2}})个?{_WEEK}{_LATER}的?{_WEEKDAY}", _in_week),
        ("后", rf"(?<!\d)(?P<count>\d{{1,4}})个?(?P<unit>天|日|周|星期|礼拜){_LATER}", _ahead),
        ("前", r"(?<!\d)(?P<count>\d{1,4})个?(?P<unit>天|日|周|星期|礼拜)(?:之前|以前|前)", _ago),
        ("过", rf"过(?P<count>\d{{1,4}})个?(?P<unit>天|周|星期|礼拜)(?!{_LATER})", _ahead),
        ("月", rf"(?<!\d)(?P<count>\d{{1,3}}|半)个月{_LATER}", _months_ahead),
        ("", rf"(?P<holiday>{'|'.join(_HOLIDAYS)})(?![路街区树卡]|老人|快乐|礼物)", _holiday),
        ("", rf"(?P<name>{'|'.join(sorted(_NAMED, key=len, reverse=True))})", _named),
        ("", rf"(?P<which>下下|下|上|这|本)?(?:1个|个)?{_WEEK}(?P<weekday>[一二三四五六日天末])", _weekday),
        ("", rf"(?<![\d月年.])(?P<d>\d{{1,2}})(?:{_NUMBER}|日(?![元圆本币])){_TAIL}", _nth),
    )
)  # fmt: skip
"""In order of precedence: a later rule does not see what an earlier one matched."""
_TO = "(?P<to>到|至|[-~—])"
_RANGES = (
    re.compile(
        r"(?:(?P<m>\d{1,2})月)?(?<![\d.:/-])(?P<first>\d{1,2})[日号]?"
        rf"{_TO}(?P<last>\d{{1,2}})(?:{_NUMBER}|日)"
    ),
    re.compile(rf"(?P<which>下下|下|这|本)?{_WEEKDAY}{_TO}{_WEEK}?(?P<until>[一二三四五六日天])"),
)
"""Ranges within one month, or of weekdays: 27到29号, 下周一到周三."""
_HINT = re.compile(r"\d|[今明后昨前当去节]|五一|周|星期|礼拜|半个月|元旦|国庆|平安夜|圣诞|跨年")


def dates(text: str, today: date, past: bool = False) -> list[Span[date]]:
    """The dates in the text; dates that do not exist (11月31日) are left out."""
    if not _HINT.search(text):
        return []
    from_day = ReferenceDate(today, past)
    return scan_dates(text, from_day, _RULES, _ranges(text, from_day))


def _ranges(text: str, today: ReferenceDate) -> Iterator[Span[date]]:
    within_month, within_week = _RANGES
    for match in within_month.finditer(text):
        day = int(match["first"])
        month = match["m"]
        first = today.nearest_month_day(int(month), day) if month else today.nearest_day_of_month(day)
        yield from range_within_month(match, first)
    for match in within_week.finditer(text):
        if first := _weekday(match, today):
            away = (_WEEKDAYS[match["until"]] - first.weekday()) % 7
            yield Span(match.start(), match.start("to"), first)
            yield Span(match.end("to"), match.end(), first + timedelta(days=away))


def format_date(day: date) -> str:
    """The date as 2026年12月1日星期二."""
    return f"{day.year}年{day.month}月{day.day}日星期{'一二三四五六日'[day.weekday()]}"


def format_datetime(when: datetime) -> str:
    """The datetime as 2026年12月1日星期二19:30."""
    return f"{format_date(when.date())}{when:%H:%M}"
