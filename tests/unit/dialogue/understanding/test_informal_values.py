"""Informal dates, times and numbers: "8ish", "friday week", "around 8"."""

from __future__ import annotations

import pytest

from tests.support.flows import compiled
from tests.support.slot_values import BOOKING_FLOWS, in_both_languages, slot_values


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("a table for two this Saturday around 8", {"date": "2026-11-28", "time": "20:00", "party_size": 2}),
        ("can I get a table around 8?", {"time": "20:00"}),
        ("5 people around 8", {"party_size": 5, "time": "20:00"}),
        ("a table for around 8 people", {"party_size": 8}),
        ("3 people, half seven", {"party_size": 3, "time": "19:30"}),
        ("for 2 at 19h", {"party_size": 2, "time": "19:00"}),
        ("party of six saturday 6pm", {"party_size": 6, "date": "2026-11-28", "time": "18:00"}),
        ("2 ppl at 7ish", {"party_size": 2, "time": "19:00"}),
    ],
)
def test_a_first_message(text, slots):
    assert slot_values(BOOKING_FLOWS["en"], text, "") == slots


@pytest.mark.parametrize(
    ("text", "time"),
    [("8ish", "20:00"), ("eight-ish", "20:00"), ("8pm-ish", "20:00"), ("half 7", "19:30"), ("19 h", "19:00"),
     ("8 or 8:30", ["20:00", "20:30"]), ("7:30 or 8", ["19:30", "20:00"])],
)  # fmt: skip
def test_a_time(text, time):
    assert slot_values(BOOKING_FLOWS["en"], text, "time") == {"time": time}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("friday week", "2026-12-04"),
        ("a week from friday", "2026-12-04"),
        ("two weeks from monday", "2026-12-14"),
        ("in a fortnight", "2026-12-08"),
        ("25.12.", "2026-12-25"),
        ("christmas", "2026-12-25"),
        ("Christmas Eve", "2026-12-24"),
        ("new years day", "2027-01-01"),
        ("New Year's Eve", "2026-12-31"),
        ("valentine's", "2027-02-14"),
        ("born on christmas 1990", "1990-12-25"),
    ],
)
def test_a_date(text, day):
    assert slot_values(BOOKING_FLOWS["en"], text, "date") == {"date": day}


@pytest.mark.parametrize("text", ["5ish", "about 5", "around 5", "5 or so"])
def test_an_approximate_number_that_was_asked_for(text):
    assert slot_values(BOOKING_FLOWS["en"], text, "party_size") == {"party_size": 5}


@pytest.mark.parametrize(
    ("asked", "text", "slots"),
    [
        ("time", "七八点", {"time": ["19:00", "20:00"]}),
        ("time", "三四点吧", {"time": ["15:00", "16:00"]}),
        ("date", "两周后的周五", {"date": "2026-12-11"}),
        ("date", "五一", {"date": "2027-05-01"}),
        ("date", "国庆节", {"date": "2027-10-01"}),
        ("date", "元旦", {"date": "2027-01-01"}),
        ("", "平安夜两位", {"date": "2026-12-24", "party_size": 2}),
        ("date", "国庆路", {}),
        ("party_size", "十几个人", {}),
        ("party_size", "十来个", {"party_size": 10}),
    ],
)
def test_in_chinese(asked, text, slots):
    assert slot_values(BOOKING_FLOWS["zh"], text, asked) == slots


@pytest.mark.parametrize(
    ("asked", "text", "slots"),
    [
        ("", "it's about 20 minutes away", {}),
        ("", "one of us is vegan", {}),
        ("time", "it won't work at 7, 8?", {"time": "20:00"}),
        ("date", "before christmas", {}),
        ("", "it's for our 10th anniversary", {}),
        ("seat", "it wasn't inside", {}),
        ("", "圣诞老人", {}),
    ],
)
def test_what_only_looks_like_a_value(asked, text, slots):
    assert slot_values(BOOKING_FLOWS["zh" if "圣" in text else "en"], text, asked) == slots


def test_a_name_is_not_a_date():
    flow = compiled("slots: {name: {type: string}, date: {type: date}}\nstates: {a: {end: true}}")
    assert slot_values(flow, "my name is Noel Christmas", "") == {"name": "Noel Christmas"}
    assert slot_values(flow, "my name is A, on christmas", "") == {"name": "A", "date": "2026-12-25"}


THINGS = in_both_languages("""
slots:
  drink: {type: enum, values: {cola: [coke], water: [], lunch_box: [lunch]}}
  born: {type: date, max: today}
  weight: {type: number}
  long: {type: duration}
states: {a: {end: true}}
""")


@pytest.mark.parametrize(
    ("language", "asked", "text", "value"),
    [
        ("en", "drink", "two colas", "cola"),
        ("en", "drink", "lunches", "lunch_box"),
        ("en", "born", "12 May '90", "1990-05-12"),
        ("en", "born", "may 5th, '04", "2004-05-05"),
        ("zh", "weight", "四十九点五", 49.5),
        ("zh", "weight", "十二点五", 12.5),
        ("zh", "long", "俩小时", 7200),
    ],
)
def test_other_values(language, asked, text, value):
    assert slot_values(THINGS[language], text, asked)[asked] == value


def test_a_counted_number_is_not_a_time_and_does_not_prevent_one():
    assert slot_values(BOOKING_FLOWS["en"], "4 people friday 7", "time") == {
        "party_size": 4,
        "date": "2026-11-27",
        "time": "19:00",
    }
    assert slot_values(BOOKING_FLOWS["en"], "4, maybe 5", "party_size") == {"party_size": [4, 5]}
