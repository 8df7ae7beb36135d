"""Changes of known values: one more person, half an hour later, a day earlier."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.rule_commands import generate_commands

from tests.support.flows import NOW, compiled
from tests.support.slot_values import BOOKING_FLOWS, slot_values

KNOWN = {"party_size": 4, "date": "2026-11-27", "time": "19:00"}


@pytest.mark.parametrize(
    ("language", "text", "moved"),
    [
        ("en", "one more person", {"party_size": 5}),
        ("en", "we'll be two more", {"party_size": 6}),
        ("en", "one person less", {"party_size": 3}),
        ("en", "make it half an hour later", {"time": "19:30"}),
        ("en", "an hour and a half earlier", {"time": "17:30"}),
        ("en", "a day later", {"date": "2026-11-28"}),
        ("en", "a week earlier", {"date": "2026-11-20"}),
        ("en", "an hour later and one more person", {"time": "20:00", "party_size": 5}),
        ("en", "6 hours later", {}),
        ("en", "one more thing", {}),
        ("en", "a bit later", {}),
        ("zh", "多一位", {"party_size": 5}),
        ("zh", "再来两位朋友", {"party_size": 6}),
        ("zh", "少一个人", {"party_size": 3}),
        ("zh", "晚半小时", {"time": "19:30"}),
        ("zh", "提前一小时", {"time": "18:00"}),
        ("zh", "推迟一天", {"date": "2026-11-28"}),
        ("zh", "晚一点", {}),
    ],
)
def test_a_known_value_is_changed(language, text, moved):
    assert slot_values(BOOKING_FLOWS[language], text, known=KNOWN) == moved


def test_an_unknown_value_is_not_changed():
    assert slot_values(BOOKING_FLOWS["en"], "half an hour later", known={"party_size": 4}) == {}


def test_the_time_of_a_datetime_is_changed_within_its_day():
    flow = compiled("slots: {when: {type: datetime}}\nstates: {a: {end: true}}")
    context = MessageContext(
        flow, {"when": "2026-11-27T19:00"}, known_parts={"when.date": "2026-11-27", "when.time": "19:00"}
    )
    (command,) = generate_commands(context, "an hour later", NOW)
    assert (command.target, command.value) == ("when.time", "20:00")


def test_a_number_is_changed_by_its_own_unit():
    flow = compiled("""
    slots: {nights: {type: integer, hints: [nights, night]}, rooms: {type: integer, hints: [rooms, room]}}
    states: {a: {end: true}}
    """)
    known = {"nights": 2, "rooms": 1}
    assert slot_values(flow, "one more night", known=known) == {"nights": 3}
    assert slot_values(flow, "one more", known=known) == {}
