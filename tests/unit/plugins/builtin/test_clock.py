"""The clock tells the time where it is asked for."""

from __future__ import annotations

import datetime as dt

import pytest
from clawdbot_plugin_sdk import Context, ToolError
from clawdbot_plugins.builtin.clock import plugin

NOW = dt.datetime(2026, 11, 25, 23, 30, 15, 250_000, tzinfo=dt.UTC).timestamp()


async def now(time_zone=None, here="UTC"):
    arguments = {} if time_zone is None else {"time_zone": time_zone}
    context = Context(clock=lambda: NOW, time_zone=here)
    return (await plugin.tools["now"].invoke(arguments, context)).structured


async def test_it_tells_the_time_where_the_person_is():
    assert await now(here="Europe/Zurich") == {
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
async def test_it_tells_the_time_in_a_zone(zone, date, time, offset):
    told = await now(zone, here="Europe/Zurich")
    assert (told["date"], told["time"], told["utc_offset"], told["time_zone"]) == (date, time, offset, zone)


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
async def test_an_unknown_zone_is_met_with_the_nearest_one(zone, hint):
    with pytest.raises(ToolError) as caught:
        await now(zone)
    assert str(caught.value).startswith("There is no time zone ")
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 200
