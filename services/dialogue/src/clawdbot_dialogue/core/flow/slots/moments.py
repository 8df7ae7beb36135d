"""Days, times of day and lengths of time."""

from __future__ import annotations

import functools
import re
from datetime import date, datetime, timedelta

from clawdbot_dialogue.core.flow.slots.slot import LARGEST_INTEGER, Bounds, Slot, SlotRefused, SlotType
from clawdbot_dialogue.core.flow.templates import show_json
from clawdbot_dialogue.core.understanding.locale import Locale

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_RELATIVE = re.compile(r"today(?:([+-])(\d{1,4})d)?")
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
    """A time of day with two digits each, "07:05", also for "7:05"; None for anything else."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]:0>2}:{found[2]}" if found else None


_time_bound = functools.lru_cache(maxsize=1024)(parse_time)
"""A bound of a time: flows have a few, and every time that is said is held against them."""


def date_bound(bound: object, now: datetime | None) -> date | None:
    """The day that a bound names: "2026-12-01", "today+30d"; None where it names none, or today is needed."""
    found = _RELATIVE.fullmatch(bound) if isinstance(bound, str) else None
    if not found:
        return parse_date(bound)
    if now is None:
        return None
    days = int(found[2] or 0) * (-1 if found[1] == "-" else 1)
    return now.date() + timedelta(days=days)


def duration_bound(bound: object) -> float | None:
    """The seconds that a bound names: "30m", "1.5h", "2d"; None where it names none."""
    found = _LENGTH.fullmatch(bound) if isinstance(bound, str) else None
    return float(found[1]) * _SECONDS[found[2]] if found else None


def is_date_bound(bound: object) -> bool:
    """Whether a date slot may have this bound."""
    return parse_date(bound) is not None or (isinstance(bound, str) and bool(_RELATIVE.fullmatch(bound)))


def _date(slot: Slot, value: object, now: datetime | None) -> object:
    day = parse_date(value)
    if day is None:
        raise SlotRefused("not_date")
    first, last = date_bound(slot.minimum, now), date_bound(slot.maximum, now)
    if first and day < first:
        raise SlotRefused("too_early", first)
    if last and day > last:
        raise SlotRefused("too_late_value", last)
    return day.isoformat()


def _time(slot: Slot, value: object, _: datetime | None) -> object:
    clock = parse_time(value)
    if clock is None:
        raise SlotRefused("not_time")
    # Two-digit clock times order as text.
    first, last = _time_bound(slot.minimum), _time_bound(slot.maximum)
    if first and clock < first:
        raise SlotRefused("too_early", first)
    if last and clock > last:
        raise SlotRefused("too_late_value", last)
    return clock


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


def _show_date(value: str, locale: Locale) -> str:
    return locale.show_date(date.fromisoformat(value))


def _show_day(limit: object, locale: Locale) -> str:
    return locale.show_date(limit) if isinstance(limit, date) else show_json(limit)


def _show_duration(value: int, locale: Locale) -> str:
    return locale.show_duration(value)


def _show_length(limit: object, locale: Locale) -> str:
    return locale.show_duration(duration_bound(limit) or 0.0)


_DAYS = Bounds('a day: "2026-12-01", "today" or "today+30d"', is_date_bound, parse_date)
_CLOCKS = Bounds('a time in quotes: "11:00"', lambda bound: parse_time(bound) is not None, parse_time)
_LENGTHS = Bounds(
    'a length of time: "30m", "2h", "1d"', lambda bound: duration_bound(bound) is not None, duration_bound
)
TYPES = (
    SlotType("date", "string", _date, _DAYS, show=_show_date, show_limit=_show_day),
    SlotType("time", "string", _time, _CLOCKS),
    SlotType("duration", "int", _duration, _LENGTHS, show=_show_duration, show_limit=_show_length),
)
