"""The clock: one tool that tells a model the current time, which it cannot know."""

from __future__ import annotations

import asyncio
import datetime as dt
import difflib
import functools
import zoneinfo
from typing import Annotated

from clawdbot_plugin_sdk import Context, Plugin, ToolError
from pydantic import BaseModel, Field

plugin = Plugin("clock", version="1.0.0", description="Tells the time and the date.")

MAX_QUOTED_LENGTH = 60
"""Characters of an unknown name that an error message quotes."""


class CurrentTime(BaseModel):
    """The current time in a time zone."""

    iso: str = Field(description="For example 2026-11-25T19:30:00+00:00.")
    date: dt.date
    time: str = Field(description="Hours and minutes: 19:30.")
    weekday: str
    time_zone: str
    utc_offset: str = Field(description="For example +01:00.")


@plugin.tool(effect="none", timeout="2s")
async def now(
    ctx: Context,
    time_zone: Annotated[
        str | None,
        Field(description="IANA name such as Europe/London or Asia/Shanghai. Default: the user's time zone."),
    ] = None,
) -> CurrentTime:
    """Get the current time, date and day of the week in a time zone."""
    name = time_zone or ctx.time_zone
    local = dt.datetime.fromtimestamp(ctx.clock(), await _find_zone(name)).replace(microsecond=0)
    return CurrentTime(
        iso=local.isoformat(),
        date=local.date(),
        time=f"{local:%H:%M}",
        weekday=WEEKDAYS[local.weekday()],
        time_zone=name,
        utc_offset=local.isoformat()[-6:],
    )


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""Not from strftime: a tool's result must not depend on the server's locale."""


async def _find_zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # A path raises ValueError, a folder OSError. Looking up the nearest name reads many folders.
        hint = await asyncio.to_thread(_nearest, name[:MAX_QUOTED_LENGTH].strip())
        raise ToolError(f"Unknown time zone {name[:MAX_QUOTED_LENGTH]}.{hint}") from None


@functools.cache
def _zone_names() -> frozenset[str]:
    """The names of all places. They do not change while a process runs."""
    return frozenset(name for name in zoneinfo.available_timezones() if "/" in name)


def _nearest(name: str) -> str:
    normalized = name.replace(" ", "_").lower()
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(_zone_names(), key=len, reverse=True)}
    whole = {zone.lower(): zone for zone in _zone_names()}
    for names in (whole, cities):
        if close := difflib.get_close_matches(normalized, names, n=1, cutoff=0.75):
            return f" Did you mean {names[close[0]]}?"
    return " Use an IANA name such as Europe/London."
