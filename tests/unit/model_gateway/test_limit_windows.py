"""Windows of the calendar, and rates as people write them."""

from __future__ import annotations

import calendar

import pytest
from clawdbot_model_gateway.core.limits.windows import WINDOWS, Rate
from clawdbot_model_gateway.settings.limits import QuotaSettings
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError


def at(*moment: int) -> int:
    return calendar.timegm((*moment, *[0] * (6 - len(moment))))


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("minute", (2028, 2, 29, 23, 59), (2028, 3, 1)),
        ("hour", (2028, 2, 29, 23), (2028, 3, 1)),
        ("day", (2028, 2, 29), (2028, 3, 1)),
        ("month", (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_windows_begin_and_end_with_the_calendar(window, start, end):
    now = at(2028, 2, 29, 23, 59, 59) + 0.5
    assert Rate(1, window).bounds(now) == (at(*start), at(*end))


def test_the_year_ends_with_december():
    assert Rate(1, "month").bounds(at(2026, 12, 31, 23)) == (at(2026, 12, 1), at(2027, 1, 1))


@given(st.floats(0, 4e9), st.sampled_from(WINDOWS))
def test_windows_follow_each_other_without_gaps(now, window):
    rate = Rate(1, window)
    start, end = rate.bounds(now)
    assert start <= now < end
    assert rate.bounds(end)[0] == end
    assert rate.bounds(start) == (start, end)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("60/minute", [(60, "minute")]),
        (" 60 / minute ;1000/day", [(60, "minute"), (1000, "day")]),
        ("1e6/hour", [(1_000_000, "hour")]),
    ],
)
def test_rates_are_text(text, rates):
    assert [(each.amount, each.window) for each in QuotaSettings(requests=text).requests] == rates


def test_money_has_six_decimals():
    assert QuotaSettings(cost="0.50/day; 10/month").cost == (Rate(500_000, "day"), Rate(10_000_000, "month"))
    assert QuotaSettings(cost="0.000001/minute").cost[0].amount == 1
    assert QuotaSettings(cost="0/month").cost == (Rate(0, "month"),)


@pytest.mark.parametrize("key", ["requests", "tokens"])
def test_a_rate_of_nothing_is_said_with_concurrent(key):
    with pytest.raises(ValidationError, match="concurrent: 0"):
        QuotaSettings(**{key: "0/month"})


@pytest.mark.parametrize("key", ["requests", "tokens", "cost"])
@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "60",
            "60/second",
            "60/minutes",
            "x/day",
            "-1/day",
            "nan/day",
            "inf/day",
            "1/day;1/day",
            "1/day;",
        ),
        *("1e400/day", "9" * 400 + "/day", "1000000000001/day", "0.0000001/day", 5, True, {}),
    ],
)
def test_anything_else_is_refused(key, text):
    with pytest.raises(ValidationError):
        QuotaSettings(**{key: text})


def test_half_a_request_is_refused():
    with pytest.raises(ValidationError, match="whole numbers"):
        QuotaSettings(requests="0.5/day")
