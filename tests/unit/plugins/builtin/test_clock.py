"""The clock returns the current time in any time zone."""

from __future__ import annotations

import datetime as dt

import pytest
from clawdbot_plugin_sdk import Context, ToolError
from clawdbot_plugins.builtin.clock import plugin

NOW = dt.datetime(2026, 11, 25, 23, 30, 15, 250_000, tzinfo=dt.UTC).timestamp()


async def now(time_zone=None, callers_zone="UTC"):
    arguments = {} if time_zone is None else {"time_zone": time_zone}
    context = Context(clock=lambda: NOW, time_zone=callers_zone)
    return (await plugin.tools["now"].invoke(arguments, context)).structured


async def test_it_returns_the_time_in_the_callers_time_zone():
    assert await now(callers_zone="Europe/Zurich") == {
        "iso": "2026-11-26T00:30:15+01:00",
        "date": "2026-11-26",
        "time": "00:30",
        "weekday": "Thursday",
        "time_zone": "Europe/Zurich",
        "utc_offset": "+01:00",
    }


@pytest.mark.parametrize(
    ("zone", "date", "time", "offset"),
    [
        ("UTC", "2026-11-25", "23:30", "+00:00"),
        ("Asia/Kolkata", "2026-11-26", "05:00", "+05:30"),
        ("America/St_Johns", "2026-11-25", "20:00", "-03:30"),
        ("Pacific/Kiritimati", "2026-11-26", "13:30", "+14:00"),
    ],
)
async def test_it_returns_the_time_in_a_given_time_zone(zone, date, time, offset):
    current = await now(zone, callers_zone="Europe/Zurich")
    assert (current["date"], current["time"], current["utc_offset"], current["time_zone"]) == (
        date,
        time,
        offset,
        zone,
    )


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Lodnon", "Did you mean Europe/London?"),
        ("london", "Did you mean Europe/London?"),
        ("New York", "Did you mean America/New_York?"),
        ("Mars/Olympus_Mons", "Use an IANA name such as Europe/London."),
        ("/etc/localtime", "Use an IANA name"),
        ("../../etc/passwd", "Use an IANA name"),
        ("Europe", "Use an IANA name"),
        ("a\0b", "Use an IANA name"),
        ("x" * 100_000, "Use an IANA name"),
    ],
)
async def test_an_unknown_zone_is_refused_with_the_nearest_one(zone, hint):
    with pytest.raises(ToolError) as caught:
        await now(zone)
    assert str(caught.value).startswith("Unknown time zone ")
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 200
