"""Durations are written in one way, in a configuration, in a flow and by a plugin's author."""

from __future__ import annotations

import pytest
from clawdbot_plugin_sdk import validation
from clawdbot_servicekit.durations import duration_seconds, duration_text
from clawdbot_servicekit.settings.values import seconds

from tests.support.processor_time import bounded

PARSERS = [duration_seconds, seconds, lambda text: validation.seconds("timeout", text)]


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("1m30s", 90.0),
        ("1H30M", 5400.0),
        (" 5s ", 5.0),
    ],
)
def test_a_duration_has_its_seconds(parse, text, expected):
    assert parse(text) == pytest.approx(expected)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("text", ["", "s", "soon", "-5s", "5 s s", "5w", "5s and", "1,5s", "٣s", "1m 30s"])
def test_other_text_is_refused(parse, text):
    with pytest.raises((ValueError, TypeError), match="expected a duration"):
        parse(text)


@pytest.mark.parametrize("parse", [PARSERS[0], PARSERS[2]])
@pytest.mark.parametrize("text", ["9" * 200_000, "1m" * 100_000 + "x", "9." * 100_000])
def test_a_huge_text_is_refused_in_linear_time(parse, text):
    with bounded(), pytest.raises((ValueError, TypeError), match="expected a duration"):
        parse(text)


@pytest.mark.parametrize(
    ("seconds_", "text"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (1, "1s"),
        (59.6, "1m"),
        (90, "1m30s"),
        (3600, "1h"),
        (86_400, "1d"),
        (90_061, "1d1h1m1s"),
    ],
)
def test_seconds_are_told_as_people_write_them(seconds_, text):
    assert duration_text(seconds_) == text
