"""Alternatives are clarified, negated values are ignored, ranges have two ends, and people are counted up."""

from __future__ import annotations

import pytest

from tests.support.flows import compiled
from tests.support.slot_values import BOOKING_FLOWS, in_both_languages, slot_values

ARRIVAL = {"arrival": "2026-11-27"}
TRIPS = in_both_languages("""
slots: {arrival: {type: date}, departure: {type: date}}
states: {a: {end: true}}
""")


@pytest.mark.parametrize(
    ("language", "asked", "text", "choice"),
    [
        ("en", "time", "5 or 6", ["17:00", "18:00"]),
        ("en", "time", "between 5 and 6", ["17:00", "18:00"]),
        ("en", "time", "from 5 to 6", ["17:00", "18:00"]),
        ("en", "time", "5-6pm", ["17:00", "18:00"]),
        ("en", "time", "5 to 6pm", ["17:00", "18:00"]),
        ("en", "time", "from 11 to 2pm", ["11:00", "14:00"]),
        ("en", "time", "11am to 2pm", ["11:00", "14:00"]),
        ("en", "time", "between 5:30 and 6:30", ["17:30", "18:30"]),
        ("en", "", "between 5 and 6pm", None),
        ("en", "party_size", "4 to 6", [4, 6]),
        ("en", "party_size", "4-6 people", [4, 6]),
        ("en", "party_size", "between 4 and 6 people", [4, 6]),
        ("en", "date", "tomorrow or the day after", ["2026-11-25", "2026-11-26"]),
        ("en", "date", "between monday and wednesday", ["2026-11-30", "2026-11-25"]),
        ("en", "date", "december 3 or 5", ["2026-12-03", "2026-12-05"]),
        ("en", "seat", "inside or outside", ["inside", "terrace"]),
        ("zh", "time", "五点到六点之间", ["17:00", "18:00"]),
        ("zh", "date", "明天或者后天", ["2026-11-25", "2026-11-26"]),
        ("zh", "party_size", "四五位", [4, 5]),
    ],
)  # fmt: skip
def test_alternatives_are_clarified(language, asked, text, choice):
    meant = slot_values(BOOKING_FLOWS[language], text, asked)
    assert meant == {asked or "time": choice or ["17:00", "18:00"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("5 to 6", "17:55"), ("10 to 6", "17:50"), ("quarter to 6", "17:45"), ("7 minutes to 6", "17:53"),
     ("from 7", "19:00"), ("not before 7", "19:00")],
)  # fmt: skip
def test_a_time_that_only_looks_like_a_range(text, value):
    assert slot_values(BOOKING_FLOWS["en"], text, "time") == {"time": value}


@pytest.mark.parametrize(
    ("language", "asked", "text", "value"),
    [
        ("en", "date", "not friday, saturday", "2026-11-28"),
        ("en", "date", "friday doesn't work, saturday", "2026-11-28"),
        ("en", "date", "why not friday", "2026-11-27"),
        ("en", "date", "any day but friday", None),
        ("en", "date", "i can't do friday", None),
        ("en", "date", "friday is no good", None),
        ("en", "time", "not at 7, at 8", "20:00"),
        ("en", "party_size", "not 4 but 5", 5),
        ("en", "seat", "not inside", None),
        ("en", "seat", "anywhere but the terrace", None),
        ("en", "seat", "outside, not inside", "terrace"),
        ("zh", "date", "不是周五，是周六", "2026-11-28"),
        ("zh", "date", "周五不行，周六吧", "2026-11-28"),
        ("zh", "date", "周五不行吗？", "2026-11-27"),
        ("zh", "date", "要不周五", "2026-11-27"),
        ("zh", "time", "不是七点，是八点", "20:00"),
        ("zh", "time", "不要晚上七点，八点", "20:00"),
        ("zh", "party_size", "不是四位是六位", 6),
        ("zh", "seat", "不要室内", None),
        ("zh", "seat", "要不要室内的", "inside"),
    ],
)  # fmt: skip
def test_a_negated_value_is_ignored(language, asked, text, value):
    assert slot_values(BOOKING_FLOWS[language], text, asked) == ({asked: value} if value else {})


@pytest.mark.parametrize(
    ("language", "text", "people"),
    [
        ("en", "2 adults and 3 children", 5),
        ("en", "two adults, one kid", 3),
        ("en", "4 plus a baby", 5),
        ("en", "3 of us plus a baby", 4),
        ("en", "me and 3 friends", 4),
        ("en", "me and my wife", 2),
        ("en", "my husband and I", 2),
        ("en", "two couples", 4),
        ("en", "4 including 2 kids", 4),
        ("en", "6 of us, 2 of them kids", 6),
        ("en", "4 adults", 4),
        ("zh", "两大一小", 3),
        ("zh", "两个大人带一个小孩", 3),
        ("zh", "我和三个朋友", 4),
        ("zh", "我跟我老婆", 2),
        ("zh", "我和爸妈", 3),
        ("zh", "四大两小共六位", 6),
        ("zh", "两大份", 2),
    ],
)  # fmt: skip
def test_people_are_counted_up(language, text, people):
    assert slot_values(BOOKING_FLOWS[language], text, "party_size") == {"party_size": people}


def test_people_are_not_counted_up_if_each_kind_has_its_own_slot():
    flow = compiled("""
    slots: {adults: {type: integer, hints: [adults]}, children: {type: integer, hints: [children, kids]}}
    states: {a: {end: true}}
    """)
    assert slot_values(flow, "2 adults and 3 kids", "adults") == {"adults": 2, "children": 3}


@pytest.mark.parametrize(
    ("trip", "text", "arrival", "departure"),
    [
        ("en", "december 3-5", "2026-12-03", "2026-12-05"),
        ("en", "from the 3rd to the 5th of december", "2026-12-03", "2026-12-05"),
        ("en", "march 3rd to the 5th", "2027-03-03", "2027-03-05"),
        ("en", "dec 30 to jan 2", "2026-12-30", "2027-01-02"),
        ("zh", "27到29号", "2026-11-27", "2026-11-29"),
        ("zh", "12月24日到26日", "2026-12-24", "2026-12-26"),
        ("zh", "下周一到周三", "2026-11-30", "2026-12-02"),
        ("zh", "28号到2号", "2026-11-28", "2026-12-02"),
    ],
)
def test_the_ends_of_a_date_range(trip, text, arrival, departure):
    assert slot_values(TRIPS[trip], text, "arrival") == {"arrival": arrival, "departure": departure}


@pytest.mark.parametrize(
    ("asked", "text", "known", "meant"),
    [
        ("arrival", "friday to sunday", {}, {"arrival": "2026-11-27", "departure": "2026-11-29"}),
        ("arrival", "3 or 5 december", {}, {"arrival": ["2026-12-03", "2026-12-05"]}),
        (
            "departure",
            "Sunday or Monday",
            {"arrival": "2026-11-27"},
            {"departure": ["2026-11-29", "2026-11-30"]},
        ),
        ("departure", "Monday, no Tuesday", ARRIVAL, {"departure": "2026-12-01"}),
        ("departure", "two days later", ARRIVAL, {"departure": "2026-11-29"}),
    ],
)
def test_a_range_fills_both_slots_but_a_known_one_stays(asked, text, known, meant):
    assert slot_values(TRIPS["en"], text, asked, known) == meant


def test_alternatives_of_a_date_and_its_time():
    flow = compiled("""
    slots: {when: {type: datetime}, birthday: {type: date, max: today}}
    states: {a: {end: true}}
    """)
    meant = slot_values(flow, "Friday at 9 or Saturday at 10", "when.date")
    assert meant["when.date"] == ["2026-11-27", "2026-11-28"]
    assert slot_values(flow, "Wednesday at 10, no, Thursday at 11", "when.date") == {
        "when": "2026-11-26T11:00"
    }
