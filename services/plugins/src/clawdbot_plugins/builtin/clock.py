"""The clock: one tool that tells a model the time, which it cannot know."""

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

LONGEST = 60
"""Characters of a name that is no time zone, as it is repeated."""


class Moment(BaseModel):
    """A moment, as the clocks of a time zone show it."""

    iso: str = Field(description="Such as 2026-11-25T19:30:00+00:00.")
    date: dt.date
    time: str = Field(description="Hours and minutes: 19:30.")
    weekday: str
    time_zone: str
    utc_offset: str = Field(description="Such as +01:00.")


@plugin.tool(effect="none", timeout="2s")
async def now(
    ctx: Context,
    time_zone: Annotated[
        str | None,
        Field(description="IANA name such as Europe/London or Asia/Shanghai; left out: where the person is."),
    ] = None,
) -> Moment:
    """Tell the time, the date and the day of the week, now, in a time zone."""
    name = time_zone or ctx.time_zone
    here = dt.datetime.fromtimestamp(ctx.clock(), await _zone(name)).replace(microsecond=0)
    return Moment(
        iso=here.isoformat(),
        date=here.date(),
        time=f"{here:%H:%M}",
        weekday=WEEKDAYS[here.weekday()],
        time_zone=name,
        utc_offset=here.isoformat()[-6:],
    )


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""Not strftime's: what a tool says does not depend on the server's locale."""


async def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # A path is a ValueError, a folder an OSError. To look names up reads many folders.
        hint = await asyncio.to_thread(_nearest, name[:LONGEST].strip())
        raise ToolError(f"There is no time zone {name[:LONGEST]}.{hint}") from None


@functools.cache
def _zones() -> frozenset[str]:
    """Every name of a place. They do not change while a process runs."""
    return frozenset(name for name in zoneinfo.available_timezones() if "/" in name)


def _nearest(name: str) -> str:
    asked = name.replace(" ", "_").lower()
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(_zones(), key=len, reverse=True)}
    whole = {zone.lower(): zone for zone in _zones()}
    for names in (whole, cities):
        if close := difflib.get_close_matches(asked, names, n=1, cutoff=0.75):
            return f" Did you mean {names[close[0]]}?"
    return " Use an IANA name such as Europe/London."
