"""States that wait for a model, a person or an event."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.machine.effects import HandOff
from clawdbot_dialogue.core.machine.events import GenerationFinished, Started

from tests.support.flows import Talk, compiled

CHAT = """
states:
  talk: {say: Hi., generate: {instructions: "Be kind. It is {turn.date}.", model: small, tools: [clock.now]}}
interrupts: {allow: [cancel]}
"""


class TestGeneration:
    def test_the_opening_waits_for_the_person(self):
        talk = Talk.about(compiled(CHAT))
        assert talk.replies == ["Hi."]
        assert talk.snapshot.waiting_for == "user"

    def test_the_model_gets_the_states_instructions_and_tools(self):
        talk = Talk.about(compiled(CHAT)).say("What day is it?")
        request = talk.generation
        assert (request.model, request.tools) == ("small", ("clock.now",))
        assert request.instructions == "Be kind. It is 2026-11-24."
        assert talk.effects[-1] is request

    def test_the_models_reply_is_not_repeated(self):
        talk = Talk.about(compiled(CHAT)).say("x").writes("Hello.")
        assert talk.replies == []
        assert talk.snapshot.waiting_for == "user"

    def test_small_talk_and_help_are_left_to_the_model(self):
        talk = Talk.about(compiled(CHAT))
        for text in ("hello", "help", "thanks"):
            assert talk.say(text).generation
            talk.writes("…")

    def test_cancel_is_not_left_to_the_model(self):
        assert Talk.about(compiled(CHAT)).say("cancel").snapshot.status == "ended"

    def test_without_on_error_a_failure_is_reported_and_the_next_message_retries(self):
        talk = Talk.about(compiled(CHAT)).say("x").breaks()
        assert talk.failures == ["GENERATION_FAILED"]
        assert talk.replies == ["Sorry, I cannot answer just now."]
        assert talk.say("x").generation

    def test_a_failure_takes_its_on_error_transition(self):
        talk = Talk.about(compiled(
            "states:\n  a: {generate: {instructions: i}, next: [{on_error: any, to: b}]}\n"
            "  b: {say: Sorry., end: true}"
        ))  # fmt: skip
        assert talk.say("x").breaks().replies == ["Sorry."]
        assert talk.failures == []

    def test_an_unexpected_generation_is_ignored(self):
        talk = Talk.about(compiled(CHAT)).say("x")
        before = talk.snapshot
        talk.give(GenerationFinished("generation-77", "x"))
        assert talk.snapshot is before

    def test_with_next_the_flow_continues_after_the_models_reply(self):
        talk = Talk.about(
            compiled("states:\n  a: {generate: {instructions: i}, next: b}\n  b: {say: b, end: true}")
        )
        assert talk.say("x").writes("y").path == ["b"]

    def test_with_wait_the_flow_continues_after_the_persons_next_message(self):
        talk = Talk.about(compiled(
            "states:\n  a: {generate: {instructions: i}, wait: true, next: b}\n  b: {say: b, end: true}"
        ))  # fmt: skip
        talk.say("x")
        assert talk.generation
        talk.writes("y")
        assert (talk.state, talk.snapshot.waiting_for) == ("a", "user")
        assert talk.say("z").path == ["b"]

    def test_with_wait_and_a_guard_the_model_replies_until_the_guard_passes(self):
        talk = Talk.about(compiled(
            "states:\n  a: {generate: {instructions: i}, wait: true, next: [{if: turn.number >= 3, to: b}]}\n"
            "  b: {say: b, end: true}"
        ))  # fmt: skip
        talk.say("1").writes("y").say("2")
        assert talk.generation
        assert talk.writes("y").say("3").path == ["b"]

    def test_entered_from_another_state_the_model_replies_at_once(self):
        talk = Talk.about(compiled(
            "slots: {n: {type: integer, ask: q}}\nstates:\n  a: {collect: [n], next: b}\n"
            "  b: {generate: {instructions: 'Praise {n}.'}}"
        ))  # fmt: skip
        assert talk.say("7").generation.instructions == "Praise 7."


DESK = """
slots: {x: {type: date, ask: q}}
states:
  a: {collect: [x], next: human}
  human:
    {say: Wait., handoff: desk, timeout: {after: 1h, to: nobody}, next: [{if: event.data.solved, to: solved}]}
  nobody: {say: Nobody., end: true}
  solved: {say: Solved., end: true}
"""


class TestHandOff:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(DESK)).say("tomorrow")

    def test_a_person_takes_over(self, talk):
        assert talk.effects[-2] == HandOff("desk")
        assert (talk.snapshot.status, talk.snapshot.handoff_queue) == ("handed_off", "desk")
        assert talk.replies == ["Wait."]

    def test_without_a_message_of_its_own_the_handoff_is_announced(self):
        talk = Talk.about(compiled("states: {a: {handoff: desk}}"))
        assert talk.replies == ["I am transferring you to a person."]

    def test_messages_during_a_handoff_are_ignored(self, talk):
        before = talk.snapshot
        assert talk.say("cancel").effects == ()
        assert talk.snapshot is before

    def test_the_return_takes_the_first_enabled_transition(self, talk):
        talk.event("handoff.return", solved=True)
        assert talk.replies == ["Solved."]

    def test_a_return_without_an_enabled_transition_restarts_the_flow(self, talk):
        talk.event("handoff.return", solved=False)
        assert (talk.snapshot.status, talk.state, dict(talk.slots)) == ("active", "a", {})

    def test_a_handoff_may_time_out(self, talk):
        assert talk.ring().replies == ["Nobody."]

    def test_on_handoff_names_the_state_for_a_requested_handoff(self):
        talk = Talk.about(compiled(DESK + "  other: {handoff: vip}\non_handoff: other"))
        assert talk.say("can I talk to somebody?").snapshot.handoff_queue == "vip"

    def test_without_a_handoff_state_the_request_is_refused(self):
        talk = Talk.about(
            compiled("slots: {x: {type: date, ask: q}}\nstates: {a: {collect: [x], next: b}, b: {end: true}}")
        )
        talk.say("can I talk to somebody?")
        assert talk.replies == ["Sorry, there is no person here I can transfer you to. q"]


EVENTS = """
slots: {x: {type: date, ask: q}}
states:
  a:
    collect: [x]
    next:
      - {event: paid, if: event.data.cents >= 100, say: "Thanks for {event.data.cents}.", to: b}
      - {event: paid, to: c}
      - {event: left, clear: [x], to: a}
      - {to: d}
  b: {say: b, end: true}
  c: {say: c, end: true}
  d: {say: d, end: true}
"""


class TestEvents:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(EVENTS))

    def test_an_event_takes_its_first_enabled_transition(self, talk):
        assert talk.event("paid", cents=150).replies == ["Thanks for 150.", "b"]

    def test_guards_see_the_events_data(self, talk):
        assert talk.event("paid", cents=50).path == ["c"]

    def test_an_event_without_a_transition_changes_nothing(self, talk):
        before = talk.snapshot
        assert talk.event("sneeze").effects == ()
        assert talk.snapshot is before
        assert "sneeze" in talk.notes[0].message

    def test_event_transitions_are_not_taken_without_the_event(self, talk):
        assert talk.say("tomorrow").path == ["d"]

    def test_an_event_during_a_call_is_ignored(self):
        talk = Talk.about(compiled("states:\n  a: {call: {tool: t}, next: b}\n  b: {end: true}"))
        assert talk.event("paid").effects == ()


def test_a_second_start_changes_nothing():
    talk = Talk.about(compiled(CHAT))
    before = talk.snapshot
    talk.give(Started())
    assert talk.snapshot is before
