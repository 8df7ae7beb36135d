"""Collect states: questions, refusals, corrections, commands, timeouts and restarts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clawdbot_dialogue.core.machine.events import TimerFired

from tests.support.flows import NOW, Talk, compiled

ORDER = """
slots:
  size: {type: integer, min: 1, max: 9, hints: [people], ask: How many?}
  day: {type: date, min: today, ask: When?}
  how: {type: enum, values: {pickup: [fetch], delivery: [deliver]}, ask: Pickup or delivery?}
  street: {type: string, min_length: 3, ask: Which street?}
  sure: {type: boolean, fill: asked_only, ask: "{size} on {day}, sure?"}
states:
  first:
    collect: [size]
    no_match: {retries: 2, to: lost, say: A number please.}
    timeout: {after: 10m, to: parked}
    next: [{if: slots.size > 6, to: big}, {to: second}]
  second: {collect: [day, how], next: [{if: "slots.how == 'delivery'", to: where}, {to: third}]}
  where: {collect: [street], next: third}
  third: {collect: [sure], next: [{if: slots.sure, to: done}, {to: second, clear: [day]}]}
  big: {say: Too big., collect: [sure], next: [{to: done}]}
  lost: {say: Lost., handoff: desk}
  parked: {say: Later.}
  done: {say: Done., end: true}
help: Say a number.
on_cancel: Stopped.
"""


@pytest.fixture
def flow():
    return compiled(ORDER)


@pytest.fixture
def talk(flow):
    return Talk.about(flow)


class TestQuestions:
    def test_missing_slots_are_asked_for_in_order(self, talk):
        assert talk.replies == ["How many?"]
        assert talk.say("4").replies == ["When?"]
        assert talk.say("tomorrow").replies == ["Pickup or delivery?"]

    def test_a_message_may_answer_later_questions(self, talk):
        talk.say("fetch it for 4 people tomorrow")
        assert dict(talk.slots) == {"size": 4, "day": "2026-11-25", "how": "pickup"}
        assert talk.replies == ["4 on Wednesday, 25 November 2026, sure?"]

    def test_a_value_out_of_bounds_is_refused_with_the_bound_and_asked_for_again(self, talk):
        talk.say("12")
        assert talk.commands == [("set_slot", "size", 12, False)]
        assert talk.replies == ["The size must be at most 9. How many?"]

    def test_valid_values_are_kept_though_another_is_refused(self, talk):
        talk.say("4 people on 2026-11-01")
        assert dict(talk.slots) == {"size": 4}
        assert talk.replies == ["The day must not be before Tuesday, 24 November 2026.", "When?"]

    def test_two_alternatives_lead_to_a_clarifying_question(self, talk):
        talk.say("3 or 4")
        assert talk.commands == [("clarify", "size", [3, 4], False)]
        assert talk.replies == ["Is it 3 or 4? How many?"]

    def test_a_confirmation_counts_only_if_it_was_asked_for(self, talk):
        talk.say("yes")
        assert talk.commands == [("affirm", "", None, True)]
        assert dict(talk.slots) == {}

    def test_a_confirmation_is_asked_for_again_when_its_state_is_reentered(self, talk):
        talk.say("fetch it for 4 people tomorrow").say("no").say("on friday")
        assert talk.state == "third"
        assert "sure" not in talk.slots


class TestNotUnderstood:
    def test_the_states_own_message_and_the_question_are_said(self, talk):
        assert talk.say("purple").replies == ["A number please. How many?"]

    def test_after_the_retries_the_flow_takes_the_no_match_transition(self, talk):
        talk.say("purple").say("purple").say("purple")
        assert talk.path == ["lost"]
        assert (talk.snapshot.status, talk.snapshot.handoff_queue) == ("handed_off", "desk")

    def test_an_answer_resets_the_misses(self, talk):
        talk.say("purple").say("purple").say("4 or 5").say("purple")
        assert talk.state == "lost"
        again = Talk.about(compiled(ORDER.replace("collect: [size]", "collect: [size, day]")))
        again.say("purple").say("purple").say("4").say("purple").say("purple")
        assert again.state == "first"

    def test_a_refusal_counts_as_a_miss_and_is_explained(self, talk):
        talk.say("12").say("12").say("12")
        assert talk.replies == ["The size must be at most 9.", "Lost.", *talk.replies[2:]]

    def test_without_no_match_the_question_is_repeated_without_limit(self, talk):
        talk.say("4")
        for _ in range(20):
            assert talk.say("purple").replies == ["Sorry, I did not understand that. When?"]

    @pytest.mark.parametrize("text", ["", "   ", "\0", "🤷", "?" * 5000, "x" * 200_000])
    def test_every_message_gets_a_reply(self, talk, text):
        assert talk.say("4").say(text).replies


class TestCorrections:
    def test_a_correction_goes_back_through_the_guards(self, talk):
        talk.say("fetch it for 4 people tomorrow").say("no, make that 8 people")
        assert talk.commands == [("correct_slot", "size", 8, True)]
        assert talk.path == ["first", "big"]

    def test_a_correction_without_effect_on_the_guards_returns_to_the_question(self, talk):
        talk.say("fetch it for 4 people tomorrow").say("actually 5 people")
        assert talk.replies == ["5 on Wednesday, 25 November 2026, sure?"]

    def test_repeating_a_value_is_not_a_correction(self, talk):
        talk.say("4").say("4 people, tomorrow")
        assert talk.commands == [("set_slot", "day", "2026-11-25", True)]

    def test_a_change_without_a_value_asks_for_the_value(self, talk):
        talk.say("fetch it for 4 people tomorrow").say("change the day")
        assert talk.commands == [("correct_slot", "day", None, True)]
        assert talk.replies == ["When?"]

    def test_a_refused_correction_leaves_the_value(self, talk):
        talk.say("fetch it for 4 people tomorrow").say("make it 20 people")
        assert talk.slots["size"] == 4
        assert talk.replies == ["The size must be at most 9. 4 on Wednesday, 25 November 2026, sure?"]

    def test_several_corrections_at_once_go_back_to_the_earliest(self, talk):
        talk.say("fetch it for 4 people tomorrow").say("no, 5 people on friday")
        assert talk.path == ["first", "second", "third"]
        assert (talk.slots["size"], talk.slots["day"]) == (5, "2026-11-27")

    def test_a_correction_does_not_go_back_to_a_state_of_an_abandoned_path(self, talk):
        """The street belongs to a delivery; after a change to pickup it is not asked for again."""
        talk.say("deliver it for 4 people tomorrow").say("12 Harbour Street")
        assert talk.state == "third"
        talk.say("no, fetch")
        assert talk.path == ["second", "third"]
        talk.say("change the street")
        assert talk.path == []
        assert talk.state == "third"


class TestCommands:
    @pytest.mark.parametrize("before", [[], ["4"], ["4", "tomorrow"], ["deliver it for 4 people tomorrow"],
                                        ["fetch it for 4 people tomorrow"]])  # fmt: skip
    def test_cancel_ends_the_flow_in_any_state(self, talk, before):
        for text in before:
            talk.say(text)
        talk.say("cancel")
        assert talk.snapshot.status == "ended"
        assert talk.replies == ["Stopped."]
        assert talk.commands == [("cancel_flow", "f", None, True)]

    @pytest.mark.parametrize("before", [[], ["4"], ["deliver it for 4 people tomorrow"],
                                        ["fetch it for 4 people tomorrow"]])  # fmt: skip
    def test_help_is_given_in_any_state_and_the_question_is_repeated(self, talk, before):
        for text in before:
            talk.say(text)
        state, question = talk.state, talk.replies[-1]
        talk.say("help")
        assert talk.replies == [f"Say a number. {question}"]
        assert talk.state == state

    def test_help_does_not_count_as_a_miss(self, talk):
        for _ in range(5):
            talk.say("help")
        assert talk.state == "first"

    def test_without_a_help_text_the_description_is_used(self):
        talk = Talk.about(compiled(ORDER.replace("help: Say a number.", "description: Order things.")))
        assert talk.say("help").replies == ["This is what I can do here: Order things. How many?"]

    def test_a_request_for_a_person_leads_to_a_handoff(self, talk):
        talk.say("I want to talk to a human")
        assert talk.commands == [("handoff", "desk", None, True)]
        assert talk.snapshot.status == "handed_off"

    def test_a_flow_may_forbid_cancelling(self):
        talk = Talk.about(compiled(ORDER + "interrupts: {allow: []}"))
        talk.say("cancel")
        assert talk.commands == [("cancel_flow", "f", None, False)]
        assert talk.replies == ["This cannot be cancelled right now. How many?"]

    def test_small_talk_is_answered_and_the_question_is_repeated(self, talk):
        assert talk.say("hello").replies == ["Hello! How many?"]
        assert talk.say("thanks!").replies == ["You are welcome. How many?"]


class TestTimers:
    def test_a_timer_is_set_while_a_state_with_a_timeout_waits(self, talk):
        assert talk.timer
        talk.say("4")
        assert talk.timer == ""

    def test_silence_takes_the_timeout_transition(self, talk):
        talk.ring()
        assert (talk.state, talk.replies) == ("parked", ["Later."])

    def test_guards_and_templates_see_the_time_of_the_timeout(self):
        flow = """
slots: {n: {type: integer, ask: N?}}
states:
  a: {collect: [n], timeout: {after: 1h, to: b}, next: b}
  b: {say: "It is {turn.date}, {turn.time}."}
"""
        talk = Talk.about(compiled(flow)).ring(NOW + timedelta(hours=1))
        assert talk.replies == ["It is 2026-11-24, 11:00."]

    def test_a_cancelled_timer_does_nothing(self, talk):
        old = talk.timer
        talk.say("purple")
        before = talk.snapshot
        talk.give(TimerFired(old, NOW))
        assert (talk.effects, talk.snapshot) == ((), before)

    def test_every_message_restarts_the_timer(self, talk):
        old = talk.timer
        talk.say("purple")
        assert talk.timer not in ("", old)

    def test_a_conversation_at_rest_restarts_with_its_slots(self, talk):
        talk.say("fetch").ring()
        talk.say("4 people tomorrow")
        assert talk.replies == ["4 on Wednesday, 25 November 2026, sure?"]

    def test_thanks_do_not_restart_a_conversation_at_rest(self, talk):
        talk.ring()
        assert talk.say("thank you").replies == ["You are welcome."]
        assert talk.state == "parked"

    def test_at_rest_a_message_without_values_leads_to_the_first_question(self, talk):
        talk.ring()
        assert talk.say("I am back now").replies == ["How many?"]

    def test_at_rest_a_refusal_precedes_the_question(self, talk):
        talk.ring()
        assert talk.say("12 people").replies == ["The size must be at most 9.", "How many?"]

    def test_the_meaning_of_tomorrow_depends_on_the_time_of_the_message(self, talk):
        talk.say("4").say("tomorrow", NOW.replace(day=30))
        assert talk.slots["day"] == "2026-12-01"


def test_values_given_at_the_start_are_not_asked_for(flow):
    talk = Talk.about(flow, slots={"size": 4, "day": "2026-12-01"})
    assert talk.path == ["first", "second"]
    assert talk.replies == ["Pickup or delivery?"]


def test_a_flow_that_starts_with_a_call_makes_it_once_when_it_restarts():
    """The message that restarts it fills slots first; then the call is made with them."""
    talk = Talk.about(compiled(
        "slots: {n: {type: integer, ask: q}}\n"
        "states:\n"
        "  a: {call: {tool: t, args: {n: '${has(slots.n) ? slots.n : 0}'}}, next: b}\n"
        "  b: {say: Rested.}"
    ))  # fmt: skip
    talk.returns(None)
    talk.say("7")
    assert talk.call.arguments == {"n": 7}
    assert sum(type(each).__name__ == "CallTool" for each in talk.effects) == 1
    assert talk.effects[-1] is talk.call
