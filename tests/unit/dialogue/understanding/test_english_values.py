"""Dates, times, numbers, yes and no in English texts."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from clawdbot_dialogue.core.language.language_registry import load_language_pack
from clawdbot_dialogue.core.language.normalization import normalize
from hypothesis import given
from hypothesis import strategies as st

EN = load_language_pack("en")
TODAY = date(2026, 11, 24)
"""A Tuesday."""


def dates(text, today=TODAY):
    return [f"{found.value:%m-%d}" for found in EN.dates(EN.normalize_numerals(normalize(text)), today)]


def times(text, asked=False):
    return [found.value for found in EN.times(EN.normalize_numerals(normalize(text)), asked, False)]


def numbers(text):
    return [found.value for found in EN.numbers(EN.normalize_numerals(normalize(text)))]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("today", "11-24"),
        ("tonight", "11-24"),
        ("this evening", "11-24"),
        ("tomorrow", "11-25"),
        ("the day after tomorrow", "11-26"),
        ("Tomorrow, please", "11-25"),
        ("in 3 days", "11-27"),
        ("in a week", "12-01"),
        ("in two weeks", "12-08"),
        ("a week from today", "12-01"),
        ("a day from now", "11-25"),
        ("friday", "11-27"),
        ("on Friday", "11-27"),
        ("this Friday", "11-27"),
        ("next Friday", "12-04"),
        ("next Friday at seven", "12-04"),
        ("friday next week", "12-04"),
        ("next week on friday", "12-04"),
        ("tuesday", "12-01"),
        ("this tuesday", "11-24"),
        ("next tuesday", "12-01"),
        ("monday", "11-30"),
        ("sat", "11-28"),
        ("Thurs.", "11-26"),
        ("the 3rd", "12-03"),
        ("the third", "12-03"),
        ("on the 25th", "11-25"),
        ("December 1", "12-01"),
        ("1 December", "12-01"),
        ("1st of December", "12-01"),
        ("Dec 24th", "12-24"),
        ("Thursday, December 24", "12-24"),
        ("the 5th of January", "01-05"),
        ("sept 3", "09-03"),
        ("2026-12-01", "12-01"),
        ("2026/12/01", "12-01"),
        ("1.12.2026", "12-01"),
        ("25/12", "12-25"),
        ("12/25", "12-25"),
        ("12/25/2026", "12-25"),
        ("5/5", "05-05"),
    ],
)
def test_a_date(text, means):
    assert dates(text) == [means]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "3/4",
        "31 November",
        "2026-13-01",
        "the second option",
        "someday",
        "monda",
        "the first time",
        "in 9999 days",
        "may I come?",
        "march on",
        "we sat down",
        "I sat there",
        "sunny",
    ],
)
def test_not_a_date(text):
    assert dates(text) == []


def test_a_date_without_a_year_is_the_next_one():
    assert EN.dates("november 23", TODAY)[0].value == date(2027, 11, 23)
    assert EN.dates("29 february", TODAY)[0].value == date(2028, 2, 29)
    assert EN.dates("december 1, 2030", TODAY)[0].value == date(2030, 12, 1)
    assert EN.dates("the 31st", date(2026, 2, 1))[0].value == date(2026, 3, 31)


def test_two_dates_are_found_in_order():
    assert dates("tomorrow, or friday, or the 3rd of december") == ["11-25", "11-27", "12-03"]


@given(st.dates(date(2024, 1, 1), date(2090, 1, 1)), st.integers(0, 3650))
def test_a_formatted_date_is_understood_again(today, ahead):
    expected = today + timedelta(days=ahead)
    assert [found.value for found in EN.dates(normalize(EN.format_date(expected)), today)] == [expected]
    assert [found.value for found in EN.dates(expected.isoformat(), today)] == [expected]


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.sampled_from(["monday", "wednesday", "sunday"]))
def test_a_weekday_is_within_a_week_and_next_weekday_is_in_the_next_week(today, name):
    (plain,) = EN.dates(name, today)
    (after,) = EN.dates(f"next {name}", today)
    assert 1 <= (plain.value - today).days <= 7
    assert plain.value.weekday() == after.value.weekday()
    assert (today - timedelta(days=today.weekday()) + timedelta(days=7)) <= after.value


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("7pm", "19:00"),
        ("7 pm", "19:00"),
        ("7 p.m.", "19:00"),
        ("7am", "07:00"),
        ("12am", "00:00"),
        ("12pm", "12:00"),
        ("19:30", "19:30"),
        ("7:30", "07:30"),
        ("07:30", "07:30"),
        ("7.30pm", "19:30"),
        ("half past seven", "07:30"),
        ("half past seven in the evening", "19:30"),
        ("quarter to eight", "07:45"),
        ("a quarter past 6", "18:15"),
        ("ten past 5", "17:10"),
        ("five to one", "12:55"),
        ("noon", "12:00"),
        ("midday", "12:00"),
        ("midnight", "00:00"),
        ("at 7", "07:00"),
        ("at seven", "07:00"),
        ("at 3", "15:00"),
        ("7 o'clock", "07:00"),
        ("eight in the morning", "08:00"),
        ("at nine at night", "21:00"),
        ("tonight at 8", "20:00"),
        ("dinner at 8", "20:00"),
        ("breakfast at 8", "08:00"),
        ("19h30", "19:30"),
        ("20:00 hours", "20:00"),
        ("at 0:15", "00:15"),
    ],
)
def test_a_time(text, first):
    assert [readings[0] for readings in times(text)] == [first]


@pytest.mark.parametrize(
    "text", ["", "seven", "4", "25:00", "7:75", "at 7 people", "at 30", "for 7 of us", "10%"]
)
def test_not_a_time(text):
    assert times(text) == []


@pytest.mark.parametrize(
    ("text", "first"), [("seven", "07:00"), ("730", "07:30"), ("about 8", "08:00"), ("19", "19:00")]
)
def test_a_bare_number_is_a_time_if_one_was_asked_for(text, first):
    assert times(text, asked=True)[0][0] == first


def test_a_time_without_am_or_pm_has_two_readings():
    assert times("at 7") == [("07:00", "19:00")]
    assert times("at 3") == [("15:00", "03:00")]


@given(st.times())
def test_a_time_in_digits_is_unchanged(clock):
    assert times(f"{clock:%H:%M}")[0][0] == f"{clock:%H:%M}" or clock.hour in range(10, 13)
    assert f"{clock:%H:%M}" in times(f"{clock:%H:%M}")[0]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("4", [4]),
        ("four", [4]),
        ("twenty-one", [21]),
        ("a hundred and five", [105]),
        ("two thousand", [2000]),
        ("1,000", [1000]),
        ("1.5", [1.5]),
        ("-3", [-3]),
        ("a dozen", [12]),
        ("half a dozen", [6]),
        ("a couple of people", [2]),
        ("just me", [1]),
        ("4 or 5", [4, 5]),
        ("no one", []),
        ("that one", []),
        ("the third", []),
        ("50%", []),
        ("19:30", []),
        ("2026-12-01", []),
        ("", []),
        ("room101", []),
        ("ada@4.example", []),
    ],
)
def test_numbers(text, means):
    assert numbers(text) == means


@given(st.integers(0, 10**12))
def test_a_number_in_digits_is_unchanged(number):
    assert numbers(f"I want {number} of them") == [number]


YES = [
    "yes",
    "Yes!",
    "yeah",
    "yep",
    "sure",
    "ok",
    "okay",
    "of course",
    "that's right",
    "sounds good",
    "go ahead",
    "please do",
    "perfect",
    "book it",
    "yes please",
    "y",
    "👍",
    "Yes, that’s it.",
]
NO = [
    "no",
    "No.",
    "nope",
    "nah",
    "no thanks",
    "not really",
    "wrong",
    "that's not right",
    "don't",
    "I don't think so",
    "not yet",
    "n",
    "no, thank you",
    "absolutely not",
    "well, no",
    "👎",
    "yes, but no",
]
NEITHER = [
    "",
    "no problem",
    "why not",
    "um, yes",
    "maybe",
    "I don't know",
    "not sure",
    "hang on",
    "noon",
    "yesterday",
    "nobody",
    "okra",
    "notable",
    "4",
    "what if I say yes?",
    "norway",
]


@pytest.mark.parametrize(
    ("text", "means"),
    [*((each, True) for each in YES), *((each, False) for each in NO), *((each, None) for each in NEITHER)],
)
def test_yes_and_no(text, means):
    assert EN.yes_no(normalize(text)) is means


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cancel", "cancel_flow"),
        ("Cancel that, please.", "cancel_flow"),
        ("never mind", "cancel_flow"),
        ("stop", "cancel_flow"),
        ("forget it", "cancel_flow"),
        ("I'd like to cancel my booking", "cancel_flow"),
        ("I changed my mind", "cancel_flow"),
        ("please stop now", "cancel_flow"),
        ("help", "help"),
        ("Help me, please", "help"),
        ("what can I say?", "help"),
        ("?", "help"),
        ("how does this work?", "help"),
        ("hi", "chitchat"),
        ("Good morning!", "chitchat"),
        ("thanks a lot", "chitchat"),
        ("bye", "chitchat"),
        ("how are you?", "chitchat"),
        ("I want to talk to a human", "handoff"),
        ("connect me to an agent please", "handoff"),
        ("a person please", "handoff"),
        ("can I speak with somebody?", "handoff"),
        ("get me your manager", "handoff"),
        ("don't stop", None),
        ("the bus stop", None),
        ("I cannot cancel meetings", None),
        ("hi, a table for 4", None),
        ("I am a person", None),
        ("thanks for nothing useful", None),
        ("", None),
    ],
)
def test_set_phrases(text, name):
    found = EN.set_phrase(normalize(text))
    assert (found and found.name) == name
