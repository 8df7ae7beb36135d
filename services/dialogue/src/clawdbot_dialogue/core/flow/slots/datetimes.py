"""Dates, times of day, datetimes and durations."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TypeVar

from clawdbot_servicekit.durations import SECONDS_PER_UNIT, duration_seconds

from clawdbot_dialogue.core.flow.slots.slot import MAX_INTEGER, Bounds, Slot, SlotType, SlotValueError
from clawdbot_dialogue.core.flow.templates import format_json
from clawdbot_dialogue.core.language.language_pack import LanguagePack

_Ordered = TypeVar("_Ordered", date, str)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::00)?", re.ASCII)
_TODAY = re.compile(r"today(?:([+-])(\d{1,4})(d))?")
_NOW = re.compile(r"now(?:([+-])(\d{1,5})([mhd]))?")
_DURATION = re.compile(r"\d{1,6}(\.\d{1,3})?[smhd]", re.ASCII)


def parse_date(value: object) -> date | None:
    """The date "2026-12-01"; None for anything else."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def parse_time(value: object) -> str | None:
    """A time of day with two digits each: "07:05", also for "7:05" and "07:05:00"; None for anything else."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]:0>2}:{found[2]}" if found else None


_time_bound = functools.lru_cache(maxsize=1024)(parse_time)
"""Parses the bound of a time: flows have a few, and each is compared with every time that is given."""


def date_bound(bound: object, now: datetime | None) -> date | None:
    """The date of a bound: "2026-12-01", "today+30d"; None if it is invalid, or is relative without `now`."""
    offset = _relative_offset(_TODAY, bound)
    if offset is None:
        return parse_date(bound)
    return now.date() + offset if now else None


@functools.lru_cache(maxsize=1024)
def _relative_offset(pattern: re.Pattern[str], bound: object) -> timedelta | None:
    """The offset of a bound from now; None if it is not relative."""
    found = pattern.fullmatch(bound) if isinstance(bound, str) else None
    if not found:
        return None
    seconds = int(found[2] or 0) * SECONDS_PER_UNIT[found[3] or "d"]
    return timedelta(seconds=-seconds if found[1] == "-" else seconds)


def parse_datetime(value: object) -> str | None:
    """A date and time, "2026-12-01T19:30", also with a space for the T; None for anything else.

    It has no time zone: it is local time where the conversation takes place.
    """
    if not isinstance(value, str) or value[10:11] not in ("T", " "):
        return None
    day, clock = parse_date(value[:10]), parse_time(value[11:])
    return f"{day}T{clock}" if day and clock else None


def datetime_bound(bound: object, now: datetime | None) -> str | None:
    """The datetime of a bound: "2026-12-01T11:00", "now+2h"; None if invalid, or relative without `now`."""
    offset = _relative_offset(_NOW, bound)
    if offset is None:
        return parse_datetime(bound)
    return to_slot_value(now + offset) if now else None


def to_slot_value(when: datetime) -> str:
    """A datetime in the form that a datetime slot holds."""
    return when.replace(tzinfo=None).isoformat(timespec="minutes")


def latest_date(slot: Slot, now: datetime) -> date | None:
    """The last date that a date or datetime slot accepts; None if there is no limit."""
    if slot.type != "datetime":
        return date_bound(slot.maximum, now)
    last = datetime_bound(slot.maximum, now)
    return parse_date(last[:10]) if last else None


def duration_bound(bound: object) -> float | None:
    """The seconds of a bound: "30m", "1.5h", "2d"; None if it is invalid."""
    return duration_seconds(bound) if isinstance(bound, str) and _DURATION.fullmatch(bound) else None


def _check_range(value: _Ordered, first: _Ordered | None, last: _Ordered | None) -> None:
    if first and value < first:
        raise SlotValueError("too_early", first)
    if last and value > last:
        raise SlotValueError("too_late_value", last)


def _date(slot: Slot, value: object, now: datetime | None) -> object:
    day = parse_date(value)
    if day is None:
        raise SlotValueError("not_date")
    first, last = date_bound(slot.minimum, now), date_bound(slot.maximum, now)
    _check_range(day, first, last)
    return day.isoformat()


def _time(slot: Slot, value: object, _: datetime | None) -> object:
    clock = parse_time(value)
    if clock is None:
        raise SlotValueError("not_time")
    # Times with two-digit hours compare as text.
    first, last = _time_bound(slot.minimum), _time_bound(slot.maximum)
    _check_range(clock, first, last)
    return clock


def _datetime(slot: Slot, value: object, now: datetime | None) -> object:
    when = parse_datetime(value)
    if when is None:
        raise SlotValueError("not_datetime")
    # Datetimes with all their digits compare as text.
    first, last = datetime_bound(slot.minimum, now), datetime_bound(slot.maximum, now)
    _check_range(when, first, last)
    return when


def _join(parts: Mapping[str, str]) -> str:
    return f"{parts['date']}T{parts['time']}"


def _split(when: str) -> Mapping[str, str]:
    return {"date": when[:10], "time": when[11:]}


def _duration(slot: Slot, value: object, _: datetime | None) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_INTEGER:
        raise SlotValueError("not_duration")
    seconds = round(value)
    least, most = duration_bound(slot.minimum), duration_bound(slot.maximum)
    if least is not None and seconds < least:
        raise SlotValueError("too_small", slot.minimum)
    if most is not None and seconds > most:
        raise SlotValueError("too_large", slot.maximum)
    return seconds


def _format_date(_: Slot, value: str, locale: LanguagePack) -> str:
    return locale.format_date(date.fromisoformat(value))


def _format_date_limit(limit: object, locale: LanguagePack) -> str:
    return locale.format_date(limit) if isinstance(limit, date) else format_json(limit)


def _format_datetime(_: Slot, value: str, locale: LanguagePack) -> str:
    return _format_datetime_limit(value, locale)


def _format_datetime_limit(limit: str, locale: LanguagePack) -> str:
    return locale.format_datetime(datetime.fromisoformat(limit)) if limit else ""


def _format_duration(_: Slot, value: int, locale: LanguagePack) -> str:
    return locale.format_duration(value)


def _format_duration_limit(limit: object, locale: LanguagePack) -> str:
    return locale.format_duration(duration_bound(limit) or 0.0)


def _date_sort_key(bound: object) -> date | timedelta | None:
    offset = _relative_offset(_TODAY, bound)
    return parse_date(bound) if offset is None else offset


def _datetime_sort_key(bound: object) -> str | timedelta | None:
    offset = _relative_offset(_NOW, bound)
    return parse_datetime(bound) if offset is None else offset


_DATE_BOUNDS = Bounds('a date: "2026-12-01", "today" or "today+30d"', _date_sort_key)
_TIME_BOUNDS = Bounds('a time in quotes: "11:00"', parse_time)
_DATETIME_BOUNDS = Bounds('a date and time: "2026-12-01T19:30", "now" or "now+2h"', _datetime_sort_key)
_DURATION_BOUNDS = Bounds('a duration: "30m", "2h" or "1d"', duration_bound)
TYPES: tuple[SlotType, ...] = (
    SlotType("date", "string", _date, _DATE_BOUNDS, format=_format_date, format_limit=_format_date_limit),
    SlotType("time", "string", _time, _TIME_BOUNDS),
    SlotType(
        "datetime",
        "string",
        _datetime,
        _DATETIME_BOUNDS,
        format=_format_datetime,
        format_limit=_format_datetime_limit,
        asked_as_whole=True,
        join=_join,
        split=_split,
    ),
    SlotType(
        "duration",
        "int",
        _duration,
        _DURATION_BOUNDS,
        format=_format_duration,
        format_limit=_format_duration_limit,
        allows_duplicates=True,
    ),
)
