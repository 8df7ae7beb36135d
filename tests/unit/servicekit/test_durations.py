"""Durations are written in one way, in a configuration, in a flow and by a plugin's author."""

from __future__ import annotations

import pytest
from clawdbot_plugin_sdk import validation
from clawdbot_servicekit.durations import duration_seconds
from clawdbot_servicekit.settings.values import seconds

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
