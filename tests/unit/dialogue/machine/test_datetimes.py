"""Datetime slots: date and time are given, and corrected, together or separately."""

from __future__ import annotations

import json

import pytest
from clawdbot_dialogue.core.machine.snapshot import Snapshot, SnapshotInvalid

from tests.support.composite_flows import VISIT, drafts
from tests.support.flows import Talk, compiled, library


class TestDatetimes:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(VISIT))

    @pytest.mark.parametrize(
        ("text", "when"),
        [
            ("tomorrow at 7pm", "2026-11-25T19:00"),
            ("2026-11-28 08:15", "2026-11-28T08:15"),
            ("in two hours", "2026-11-24T12:00"),
            ("half an hour from now", "2026-11-24T10:30"),
            ("right now", "2026-11-24T10:00"),
            ("today at 8", "2026-11-24T20:00"),
            ("明晚七点半", "2026-11-25T19:30"),
            ("两个小时后", "2026-11-24T12:00"),
            ("现在", "2026-11-24T10:00"),
        ],
    )
    def test_a_date_and_a_time_in_one_message_are_one_value(self, talk, text, when):
        talk.say(text)
        assert talk.commands == [("set_slot", "when", when, True)]
        assert dict(talk.slots) == {"when": when}

    def test_the_other_half_is_asked_for(self, talk):
        assert talk.say("tomorrow").replies == ["At what time?"]
        assert dict(talk.slots) == {}
        assert drafts(talk) == {"when": {"date": "2026-11-25"}}
        assert talk.say("7pm").replies == ["Why?"]
        assert dict(talk.slots) == {"when": "2026-11-25T19:00"}
        assert drafts(talk) == {}

    @pytest.mark.parametrize(
        ("day", "clock", "when"),
        [
            ("tomorrow evening", "8", "2026-11-25T20:00"),
            ("tomorrow morning", "at 8", "2026-11-25T08:00"),
            ("tomorrow evening", "8am", "2026-11-25T08:00"),
            ("明天晚上", "八点", "2026-11-25T20:00"),
            ("明天上午", "八点", "2026-11-25T08:00"),
        ],
    )
    def test_the_part_of_the_day_is_kept_until_the_time_comes(self, talk, day, clock, when):
        assert talk.say(day).say(clock).slots["when"] == when

    def test_the_halves_may_come_in_any_order_and_in_chinese(self, talk):
        assert talk.say("晚上七点").replies == ["哪一天呢？"]
        assert talk.say("后天").replies == ["为什么？"]
        assert dict(talk.slots) == {"when": "2026-11-26T19:00"}

    def test_a_half_can_be_corrected_before_and_after_completion(self, talk):
        talk.say("tomorrow").say("no, on friday").say("7pm")
        assert dict(talk.slots) == {"when": "2026-11-27T19:00"}
        talk.say("because").say("actually at 8")
        assert talk.commands == [("correct_slot", "when.time", "20:00", True)]
        assert talk.replies == ["On Friday, 27 November 2026 at 20:00."]

    def test_a_half_that_is_cleared_is_asked_for_alone(self, talk):
        talk.say("tomorrow at 7pm").say("because").say("change the time")
        assert talk.replies == ["At what time?"]
        assert "when" not in talk.slots
        assert talk.say("9pm").replies == ["On Wednesday, 25 November 2026 at 21:00."]

    def test_halves_that_are_invalid_together_are_asked_for_again(self, talk):
        talk.say("today").say("9am")
        assert talk.commands == [("set_slot", "when.time", "09:00", False)]
        assert talk.replies == ["The when must not be before Tuesday, 24 November 2026 at 10:00. When?"]
        assert drafts(talk) == {}

    def test_an_invalid_correction_leaves_the_value_unchanged(self, talk):
        talk.say("tomorrow at 7pm").say("because").say("actually on 2027-01-01")
        assert talk.replies[0] == "The when must not be after Tuesday, 1 December 2026 at 10:00."
        assert talk.slots["when"] == "2026-11-25T19:00"

    def test_two_dates_lead_to_a_clarifying_question(self, talk):
        talk.say("monday or tuesday at 5pm")
        assert talk.replies[0] == "Is it Monday, 30 November 2026 or Tuesday, 1 December 2026?"
        assert drafts(talk) == {"when": {"time": "17:00"}}

    def test_two_times_lead_to_a_clarifying_question(self, talk):
        assert talk.say("monday at 5 or 6").replies[0] == "Is it 17:00 or 18:00?"
        assert drafts(talk) == {"when": {"date": "2026-11-30"}}

    def test_a_draft_survives_an_interrupt_and_a_restore(self, talk):
        talk.say("tomorrow").say("what are your opening hours?")
        stored = json.loads(json.dumps(talk.snapshot.to_json()))
        talk.snapshot = Snapshot.from_json(stored, talk.flows)
        assert talk.say("7pm").slots["when"] == "2026-11-25T19:00"

    def test_a_snapshot_whose_flow_has_no_such_part_is_refused(self, talk):
        stored = talk.say("tomorrow").snapshot.to_json()
        stored["frames"][0]["places"][0]["asked"] = "when.zone"
        with pytest.raises(SnapshotInvalid, match=r"when\.zone"):
            Snapshot.from_json(stored, library(compiled(VISIT)).get)
