"""Days, times of day, both together, and lengths of time."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TypeVar

from clawdbot_dialogue.core.flow.slots.slot import LARGEST_INTEGER, Bounds, Slot, SlotRefused, SlotType
from clawdbot_dialogue.core.flow.templates import show_json
from clawdbot_dialogue.core.language.language_pack import Locale

_Ordered = TypeVar("_Ordered", date, str)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::00)?", re.ASCII)
_TODAY = re.compile(r"today(?:([+-])(\d{1,4})(d))?")
_NOW = re.compile(r"now(?:([+-])(\d{1,5})([mhd]))?")
_LENGTH = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_date(value: object) -> date | None:
    """The day that "2026-12-01" names; None for anything else."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def parse_time(value: object) -> str | None:
    """A time of day with two digits each, "07:05", also for "7:05" and "07:05:00"; None for anything else."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]:0>2}:{found[2]}" if found else None


_time_bound = functools.lru_cache(maxsize=1024)(parse_time)
"""A bound of a time: flows have a few, and every time that is said is held against them."""


def date_bound(bound: object, now: datetime | None) -> date | None:
    """The day that a bound names: "2026-12-01", "today+30d"; None where it names none, or today is needed."""
    away = _away(_TODAY, bound)
    if away is None:
        return parse_date(bound)
    return now.date() + away if now else None


def _away(pattern: re.Pattern[str], bound: object) -> timedelta | None:
    """How far from now a bound is; None where it does not count from there."""
    found = pattern.fullmatch(bound) if isinstance(bound, str) else None
    if not found:
        return None
    seconds = int(found[2] or 0) * _SECONDS[found[3] or "d"]
    return timedelta(seconds=-seconds if found[1] == "-" else seconds)


def parse_datetime(value: object) -> str | None:
    """A day and a time, "2026-12-01T19:30", also with a space for the T; None for anything else.

    There is no zone: it is what clocks show where the conversation takes place.
    """
    if not isinstance(value, str) or value[10:11] not in ("T", " "):
        return None
    day, clock = parse_date(value[:10]), parse_time(value[11:])
    return f"{day}T{clock}" if day and clock else None


def datetime_bound(bound: object, now: datetime | None) -> str | None:
    """The moment that a bound names: "2026-12-01T11:00", "now+2h"; None for none, or where now is needed."""
    away = _away(_NOW, bound)
    if away is None:
        return parse_datetime(bound)
    return moment(now + away) if now else None


def moment(when: datetime) -> str:
    """A moment as a datetime slot holds it."""
    return when.replace(tzinfo=None).isoformat(timespec="minutes")


def latest_day(slot: Slot, now: datetime) -> date | None:
    """The last day that a date or datetime slot takes; None where it takes any."""
    if slot.type != "datetime":
        return date_bound(slot.maximum, now)
    last = datetime_bound(slot.maximum, now)
    return parse_date(last[:10]) if last else None


def duration_bound(bound: object) -> float | None:
    """The seconds that a bound names: "30m", "1.5h", "2d"; None where it names none."""
    found = _LENGTH.fullmatch(bound) if isinstance(bound, str) else None
    return float(found[1]) * _SECONDS[found[2]] if found else None


def _check_between(value: _Ordered, first: _Ordered | None, last: _Ordered | None) -> None:
    if first and value < first:
        raise SlotRefused("too_early", first)
    if last and value > last:
        raise SlotRefused("too_late_value", last)


def _date(slot: Slot, value: object, now: datetime | None) -> object:
    day = parse_date(value)
    if day is None:
        raise SlotRefused("not_date")
    first, last = date_bound(slot.minimum, now), date_bound(slot.maximum, now)
    _check_between(day, first, last)
    return day.isoformat()


def _time(slot: Slot, value: object, _: datetime | None) -> object:
    clock = parse_time(value)
    if clock is None:
        raise SlotRefused("not_time")
    # Two-digit clock times order as text.
    first, last = _time_bound(slot.minimum), _time_bound(slot.maximum)
    _check_between(clock, first, last)
    return clock


def _datetime(slot: Slot, value: object, now: datetime | None) -> object:
    when = parse_datetime(value)
    if when is None:
        raise SlotRefused("not_datetime")
    # With all digits there, moments order as text.
    first, last = datetime_bound(slot.minimum, now), datetime_bound(slot.maximum, now)
    _check_between(when, first, last)
    return when


def _joined(parts: Mapping[str, str]) -> str:
    return f"{parts['date']}T{parts['time']}"


def _split(when: str) -> Mapping[str, str]:
    return {"date": when[:10], "time": when[11:]}


def _duration(slot: Slot, value: object, _: datetime | None) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LARGEST_INTEGER:
        raise SlotRefused("not_duration")
    length = round(value)
    least, most = duration_bound(slot.minimum), duration_bound(slot.maximum)
    if least is not None and length < least:
        raise SlotRefused("too_small", slot.minimum)
    if most is not None and length > most:
        raise SlotRefused("too_large", slot.maximum)
    return length


def _show_date(_: Slot, value: str, locale: Locale) -> str:
    return locale.show_date(date.fromisoformat(value))


def _show_datetime(_: Slot, value: str, locale: Locale) -> str:
    return _show_moment(value, locale)


def _show_moment(limit: str, locale: Locale) -> str:
    return locale.show_datetime(datetime.fromisoformat(limit)) if limit else ""


def _show_day(limit: object, locale: Locale) -> str:
    return locale.show_date(limit) if isinstance(limit, date) else show_json(limit)


def _show_duration(_: Slot, value: int, locale: Locale) -> str:
    return locale.show_duration(value)


def _show_length(limit: object, locale: Locale) -> str:
    return locale.show_duration(duration_bound(limit) or 0.0)


def _day_order(bound: object) -> date | timedelta | None:
    away = _away(_TODAY, bound)
    return parse_date(bound) if away is None else away


def _moment_order(bound: object) -> str | timedelta | None:
    away = _away(_NOW, bound)
    return parse_datetime(bound) if away is None else away


_DAYS = Bounds('a day: "2026-12-01", "today" or "today+30d"', _day_order)
_CLOCKS = Bounds('a time in quotes: "11:00"', parse_time)
_MOMENTS = Bounds('a day and a time: "2026-12-01T19:30", "now" or "now+2h"', _moment_order)
_LENGTHS = Bounds('a length of time: "30m", "2h", "1d"', duration_bound)
TYPES: tuple[SlotType, ...] = (
    SlotType("date", "string", _date, _DAYS, show=_show_date, show_limit=_show_day),
    SlotType("time", "string", _time, _CLOCKS),
    SlotType(
        "datetime",
        "string",
        _datetime,
        _MOMENTS,
        show=_show_datetime,
        show_limit=_show_moment,
        together=True,
        join=_joined,
        split=_split,
    ),
    SlotType(
        "duration", "int", _duration, _LENGTHS, show=_show_duration, show_limit=_show_length, counts=True
    ),
)
