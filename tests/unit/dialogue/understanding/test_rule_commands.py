"""Commands from messages in context: slots filled and corrected, set phrases, other flows, free text."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.rule_commands import generate_commands
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.flows import NOW, compiled
from tests.support.processor_time import bounded
from tests.support.properties import examples

FLOW = compiled("""
slots:
  party_size: {type: integer, hints: [people, guests, of us]}
  date: {type: date}
  time: {type: time, min: "11:00", max: "22:00"}
  seat: {type: enum, values: {inside: [indoors], terrace: [outside, in the sun], bar_stool: []}}
  name: {type: string}
  email: {type: email}
  phone: {type: phone, region: GB}
  note: {type: string, min_length: 3}
  budget: {type: number, hints: [euros, pounds]}
  confirmed: {type: boolean, fill: asked_only}
states: {a: {end: true}}
""")
OTHER = compiled("triggers: [opening hours, when are you open]\nstates: {a: {end: true}}", "hours")


FRAGMENTS = [
    "a ", "the ", "no, ", "um, ", ", ", ". ", "! ", " ", "\n", "1 ", "1,", "1. ", "(1", "1-", "1/", "at 7 ",
    "at ", "one ", "monday, ", "5 december ", "talk to a ", "please ", "actually ", "my name is ", "A ",
    "change the ", "x@", "x@y.", "'", "half past ", "cancel the a ", "i want to ", "is wrong ", "twenty ",
    "hundred ", "next ", "hi ", "+1 ", "people ", "yes ", "or ", "pm ", "not ", "date ", "? ", "a@b.c ",
    "+44 20 7946 0958 ", "between 5 ", "from 5 to ", "5 or ", "3-", "3 to ", "december 3-", "me and a ",
    "2 kids, ", "a baby and ", "including a ", "2 more ", "another person ", "an hour later ", "8ish ",
    "anything but the ", "doesn't work ", "around 8 ", "half 7 ", "a week from ", "new year's ",
]  # fmt: skip
"""Fragments for awkward messages, and for long ones that might make a pattern backtrack."""


def commands_for(text, *, asked="", slots=None, others=()):
    context = MessageContext(FLOW, slots or {}, asked, True, others)
    return [(each.name, each.target, each.value) for each in generate_commands(context, text, NOW)]


def set_slots(**slots):
    return [("set_slot", name, value) for name, value in slots.items()]


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("a table for 4 tomorrow at 7pm", {"date": "2026-11-25", "time": "19:00"}),
        ("4 people", {"party_size": 4}),
        ("we are four, no, five of us", {"party_size": 5}),
        ("next Friday at seven for twelve guests", {"date": "2026-12-04", "time": "19:00", "party_size": 12}),
        ("outside please, on the 3rd, 2 people at half past eight", {"seat": "terrace", "date": "2026-12-03",
                                                                      "time": "20:30", "party_size": 2}),
        ("a bar stool for tonight", {"seat": "bar_stool", "date": "2026-11-24"}),
        ("under the name of Ada Lovelace, tomorrow", {"name": "Ada Lovelace", "date": "2026-11-25"}),
        ("write to ada@example.com.", {"email": "ada@example.com"}),
        ("call me on 020 7946 0958, 3 people", {"phone": "020 7946 0958", "party_size": 3}),
        ("+44 20 7946 0958", {"phone": "+44 20 7946 0958"}),
        ("50 pounds for 2 people", {"party_size": 2, "budget": 50}),
        ("TOMORROW,   AT   7 PM!!", {"date": "2026-11-25", "time": "19:00"}),
        ("ｔｏｍｏｒｒｏｗ", {"date": "2026-11-25"}),
    ],
)  # fmt: skip
def test_slots_are_filled_from_one_sentence(text, slots):
    assert sorted(map(str, commands_for(text))) == sorted(map(str, set_slots(**slots)))


@pytest.mark.parametrize(
    ("asked", "text", "value"),
    [
        ("party_size", "4", 4),
        ("party_size", "there will be four", 4),
        ("party_size", "just me", 1),
        ("budget", "99.50", 99.5),
        ("time", "7", "19:00"),
        ("time", "half past twelve", "12:30"),
        ("date", "the 3rd", "2026-12-03"),
        ("seat", "in the sun, if you have it", "terrace"),
        ("confirmed", "yes please", True),
        ("confirmed", "no, thank you", False),
        ("name", "My name is Ada Lovelace.", "Ada Lovelace"),
        ("name", "Ada", "Ada"),
        ("name", "it's Seven of Nine, please", "Seven of Nine"),
        ("note", "One of us is in a wheelchair at 7", "One of us is in a wheelchair at 7"),
        ("email", "it is ada.lovelace+x@mail.example.co.uk", "ada.lovelace+x@mail.example.co.uk"),
        ("phone", "0207 946", "0207 946"),
    ],
)  # fmt: skip
def test_an_answer_goes_to_what_was_asked_for(asked, text, value):
    assert ("set_slot", asked, value) in commands_for(text, asked=asked)


def test_a_bare_number_that_fits_no_slot_is_ignored():
    assert commands_for("7") == [("none", "", None)]


def test_a_number_of_people_is_not_a_time_though_a_time_was_asked_for():
    assert commands_for("wait, we are 3 people", asked="time", slots={"party_size": 2}) == [
        ("correct_slot", "party_size", 3)
    ]


def test_a_free_text_keeps_its_dates_and_numbers():
    assert commands_for("On Friday 3 people fell ill", asked="note") == set_slots(
        note="On Friday 3 people fell ill"
    )


def test_yes_is_not_an_answer_to_an_open_question_but_a_sentence_that_starts_with_it_is():
    assert commands_for("yes", asked="note") == [("affirm", "", None)]
    assert commands_for("no milk for any of us please", asked="note") == set_slots(
        note="no milk for any of us please"
    )


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("no, make that 5 people", [("correct_slot", "party_size", 5)]),
        ("actually Saturday", [("correct_slot", "date", "2026-11-28")]),
        ("sorry, at 8", [("correct_slot", "time", "20:00")]),
        (
            "5 people on Saturday instead",
            [("correct_slot", "date", "2026-11-28"), ("correct_slot", "party_size", 5)],
        ),
        ("change the date", [("correct_slot", "date", None)]),
        ("the time is wrong", [("correct_slot", "time", None)]),
        ("can we have another day", [("none", "", None)]),
        ("4 people", [("none", "", None)]),
        ("not 4, 6 people", [("correct_slot", "party_size", 6)]),
    ],
)
def test_a_new_value_corrects_a_filled_slot(text, commands):
    known = {"party_size": 4, "date": "2026-11-25", "time": "19:00"}
    assert commands_for(text, slots=known) == commands


def test_a_correction_in_reply_to_a_confirmation_is_not_a_no():
    known = {"party_size": 4, "date": "2026-11-25"}
    assert commands_for("no, make it 6 people", asked="confirmed", slots=known) == [
        ("correct_slot", "party_size", 6)
    ]
    assert commands_for("yes, under the name of Ada", asked="confirmed", slots=known) == set_slots(
        name="Ada", confirmed=True
    )


def test_two_values_for_one_slot_are_clarified():
    assert commands_for("4 or 5 people") == [("clarify", "party_size", [4, 5])]
    assert commands_for("friday or saturday") == [("clarify", "date", ["2026-11-27", "2026-11-28"])]


def test_of_two_values_without_an_or_the_last_one_counts():
    assert commands_for("friday, no, saturday") == set_slots(date="2026-11-28")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cancel", "cancel_flow"),
        ("help", "help"),
        ("I need a human", "handoff"),
        ("can I talk to a human", "handoff"),
        ("hello", "chitchat"),
    ],
)
def test_set_phrases_are_commands_whatever_was_asked_for(text, name):
    for asked in ("", "party_size", "confirmed", "seat", "email"):
        assert commands_for(text, asked=asked)[0][0] == name


def test_a_trigger_starts_another_flow_and_the_values_are_kept():
    assert commands_for("4 people. When are you open?", others=(OTHER,)) == [
        *set_slots(party_size=4), ("start_flow", "hours", None),
    ]  # fmt: skip


def test_in_a_generate_state_small_talk_and_help_are_left_to_the_model():
    context = MessageContext(FLOW, {}, collecting=False)
    assert [each.name for each in generate_commands(context, "hello", NOW)] == ["none"]
    assert [each.name for each in generate_commands(context, "help", NOW)] == ["none"]
    assert [each.name for each in generate_commands(context, "cancel", NOW)] == ["cancel_flow"]


@settings(max_examples=examples(300))
@given(
    st.text(max_size=80) | st.lists(st.sampled_from(FRAGMENTS), max_size=15).map("".join),
    st.sampled_from(["", *FLOW.slots]),
)  # fmt: skip
def test_any_message_gives_commands_deterministically(text, asked):
    commands = commands_for(text, asked=asked, slots={"date": "2026-11-25"}, others=(OTHER,))
    assert commands
    assert commands == commands_for(text, asked=asked, slots={"date": "2026-11-25"}, others=(OTHER,))
    assert all(target in (*FLOW.slots, "hours", "") for _, target, _ in commands)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_hostile_message_does_not_take_long(fragment):
    """Each takes milliseconds; a regular expression that backtracks would take seconds or much longer."""
    with bounded():
        for start in ("", "my name is ", "change the ", "no, "):
            for asked in ("", "name", "time"):
                known = {} if asked else {"party_size": 4, "time": "19:00"}
                commands_for(start + fragment * (20_000 // len(fragment)) + "\0x", asked=asked, slots=known)
