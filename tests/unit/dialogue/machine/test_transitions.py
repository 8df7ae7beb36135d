"""Transitions: which one is taken, what it says and clears, and how errors are handled."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.machine.events import ToolReturned
from clawdbot_dialogue.core.machine.step_result import GuardEvaluated, TransitionTaken

from tests.support.flows import Talk, compiled

SLOTS = """
slots:
  n: {type: integer, ask: How many?}
  m: {type: date, ask: When?}
  ok: {type: boolean, fill: asked_only, ask: "{n} then?"}
"""


def flow(states):
    return compiled(SLOTS + "states:\n" + states)


def test_the_first_passing_guard_in_document_order_is_taken():
    talk = Talk.about(flow("""
  a:
    collect: [n]
    next: [{if: slots.n > 100, to: c}, {if: slots.n > 10, to: b}, {if: slots.n > 5, to: c}, {to: d}]
  b: {say: b, end: true}
  c: {say: c, end: true}
  d: {say: d, end: true}
"""))  # fmt: skip
    assert talk.say("50").path == ["b"]


def test_the_default_is_taken_if_no_guard_passes():
    talk = Talk.about(flow("  a: {collect: [n], next: [{if: slots.n > 5, to: b}, {to: c}]}\n"
                           "  b: {end: true}\n  c: {end: true}"))  # fmt: skip
    assert talk.say("5").path == ["c"]


def test_a_failing_guard_is_false_and_leaves_a_note():
    talk = Talk.about(
        flow("  a: {next: [{if: result.ok, to: b}, {to: c}]}\n  b: {end: true}\n  c: {end: true}")
    )
    assert talk.path == ["a", "c"]
    assert [(note.code, note.state) for note in talk.notes] == [("guard-failed", "a")]
    assert "result.ok" in talk.notes[0].message


def test_a_transition_says_then_clears_then_enters():
    talk = Talk.about(
        flow("""
  a: {collect: [n], next: [{say: "Not {n}.", clear: [n], to: b}]}
  b: {say: Again., collect: [n], next: c}
  c: {end: true}
""")
    )
    talk.say("7")
    assert talk.replies == ["Not 7.", "Again.", "How many?"]
    assert dict(talk.slots) == {}


def test_a_placeholder_without_a_value_is_shown_as_unknown_and_leaves_a_note():
    talk = Talk.about(compiled("slots: {n: {type: integer}}\nstates: {a: {say: 'For {n}.', end: true}}"))
    assert talk.replies == ["For (unknown)."]
    assert [note.code for note in talk.notes] == ["value-missing"]


def test_values_are_shown_as_people_write_them():
    talk = Talk.about(
        compiled(
            "slots: {d: {type: date}, x: {type: number}, b: {type: boolean}}\n"
            "states: {a: {say: '{d}, {x}, {b}', end: true}}"
        ),
        slots={"d": "2026-12-01", "x": 3.0, "b": True},
    )
    assert talk.replies == ["Tuesday, 1 December 2026, 3, yes"]


def test_a_flow_without_an_enabled_transition_says_so_and_waits():
    talk = Talk.about(flow("  a: {collect: [n], next: [{if: slots.n > 5, to: b}]}\n  b: {end: true}"))
    talk.say("3")
    assert talk.failures == ["NO_TRANSITION"]
    assert talk.replies == ["Sorry, I do not know how to continue."]
    assert talk.snapshot.waiting_for == "user"


def test_a_loop_is_stopped_after_a_hundred_states():
    circle = "  b: {say: b, next: c}\n  c: {next: [{if: 1 < 2, to: b}]}"
    talk = Talk.about(flow(f"  a: {{collect: [n], next: b}}\n{circle}"))
    talk.say("3")
    assert talk.failures == ["FLOW_LOOP"]
    assert len(talk.path) == 100
    assert talk.snapshot.waiting_for == "user"
    assert talk.say("3").failures == ["FLOW_LOOP"]


def test_a_loop_through_tools_is_stopped_too():
    talk = Talk.about(
        compiled(
            "states:\n"
            "  a: {call: {tool: t, effect: none}, next: [{on_error: any, to: a}, {if: 1 < 2, to: a}]}"
        )
    )
    for _ in range(300):
        if talk.snapshot.waiting_for == "user":
            break
        talk.returns(None)
    assert talk.failures == ["FLOW_LOOP"]


def test_a_message_resets_the_count_of_states():
    circle = flow("  a: {collect: [n], next: [{clear: [n], to: a}]}")
    talk = Talk.about(circle)
    for _ in range(250):
        assert talk.say("3").failures == []


def test_the_initial_state_need_not_be_the_first():
    talk = Talk.about(compiled("initial: b\nstates: {a: {say: a, end: true}, b: {say: b, next: a}}"))
    assert talk.path == ["b", "a"]


def test_a_conversation_that_has_ended_ignores_everything():
    talk = Talk.about(compiled("states: {a: {say: Bye., end: true}}"))
    before = talk.snapshot
    talk.say("hello")
    assert talk.effects == ()
    assert talk.snapshot is before
    assert [note.code for note in talk.notes] == ["ignored-event"]


class TestCalls:
    CALLS = """
  a: {collect: [n, m], next: b}
  b:
    call:
      tool: shop.buy
      args:
        {n: "${slots.n}", twice: "${slots.n * 2}", when: "on {m}", deep: {list: ["${slots.m}", 1, true]}}
      effect: once
    next:
      - {if: result.ok, to: c}
      - {on_error: unknown, say: Unknown., to: d}
      - {on_error: any, say: Failed., to: d}
      - {say: "No: {result.why}.", to: d}
  c: {say: "Bought {result.ref}.", collect: [ok], next: [{if: slots.ok, to: e}, {to: d}]}
  d: {say: d, collect: [ok], next: a}
  e: {end: true}
"""  # fmt: skip

    @pytest.fixture
    def talk(self):
        return Talk.about(flow(self.CALLS)).say("3 on 2026-12-01")

    def test_arguments_keep_their_types(self, talk):
        assert talk.call.tool == "shop.buy"
        assert talk.call.effect == "once"
        assert talk.call.arguments == {
            "n": 3, "twice": 6, "when": "on Tuesday, 1 December 2026",
            "deep": {"list": ["2026-12-01", 1, True]},
        }  # fmt: skip

    def test_the_result_decides_the_transition(self, talk):
        assert talk.returns({"ok": True, "ref": "R7"}).replies == ["Bought R7.", "3 then?"]

    def test_an_unwanted_result_takes_the_default(self, talk):
        assert talk.returns({"ok": False, "why": "sold out"}).replies[0] == "No: sold out."

    def test_an_error_takes_the_first_matching_transition(self, talk):
        assert talk.returns({"error": "x"}, is_error=True).replies[0] == "Failed."

    def test_an_unknown_outcome_takes_its_transition(self, talk):
        assert talk.returns(None, unknown=True).replies[0] == "Unknown."

    def test_an_unexpected_result_changes_nothing(self, talk):
        before = talk.snapshot
        talk.give(ToolReturned("call-99", {"ok": True}, False))
        assert talk.snapshot is before
        assert talk.effects == ()

    def test_a_message_during_a_call_is_refused_with_a_reason(self, talk):
        before = talk.snapshot
        assert talk.say("hello?").failures == ["STILL_WAITING"]
        assert talk.snapshot == before

    def test_a_correction_does_not_repeat_a_call_with_effect_once(self, talk):
        talk.returns({"ok": True, "ref": "R7"}).say("make it 5")
        assert talk.commands == [("correct_slot", "n", 5, False)]
        assert talk.replies == ["That is already done and cannot be changed here. 3 then?"]
        assert talk.slots["n"] == 3

    def test_after_a_failure_a_correction_goes_back_and_repeats_the_call(self, talk):
        talk.returns(None, is_error=True).say("make it 5")
        assert talk.path == ["a", "b"]
        assert talk.call.arguments["n"] == 5

    def test_after_an_unknown_outcome_nothing_is_corrected(self, talk):
        talk.returns(None, unknown=True).say("make it 5")
        assert talk.commands == [("correct_slot", "n", 5, False)]

    def test_a_flow_that_goes_back_by_itself_allows_corrections_again(self, talk):
        talk.returns({"ok": True, "ref": "R7"}).say("no").say("yes")
        assert talk.call.arguments["n"] == 3
        talk.returns(None, is_error=True).say("make it 5")
        assert talk.call.arguments["n"] == 5


def test_an_error_without_on_error_is_reported_and_the_conversation_continues():
    talk = Talk.about(compiled("states:\n  a: {call: {tool: t}, next: b}\n  b: {end: true}"))
    talk.returns(None, is_error=True)
    assert talk.failures == ["TOOL_FAILED"]
    assert talk.replies == ["Sorry, something went wrong on my side."]
    assert talk.snapshot.waiting_for == "user"


def test_an_argument_without_a_value_takes_the_error_transition_without_a_call():
    talk = Talk.about(compiled(
        "slots: {n: {type: integer}}\n"
        "states:\n  a: {call: {tool: t, args: {n: '${slots.n}'}}, "
        "next: [{on_error: failed, to: b}, {to: c}]}\n  b: {say: b, end: true}\n  c: {say: c, end: true}"
    ))  # fmt: skip
    assert talk.path == ["a", "b"]
    assert talk.failures == []


def test_an_argument_without_a_value_and_without_on_error_is_reported():
    talk = Talk.about(compiled(
        "slots: {n: {type: integer}}\n"
        "states:\n  a: {call: {tool: t, args: {n: '${slots.n}'}}, next: b}\n  b: {end: true}"
    ))  # fmt: skip
    assert talk.failures == ["ARGUMENT_FAILED"]


def test_the_trace_has_the_guards_and_the_transitions():
    talk = Talk.about(flow("  a: {collect: [n], next: [{if: slots.n > 5, to: b}, {to: c}]}\n"
                           "  b: {end: true}\n  c: {collect: [m], next: b}"))  # fmt: skip
    talk.say("3")
    assert talk.last.trace == (
        GuardEvaluated("f", "a", "b", "slots.n > 5", passed=False, owner="a", number=0),
        GuardEvaluated("f", "a", "c", "", passed=True, owner="a", number=1),
        TransitionTaken("f", "a", "c", "next"),
    )
    talk.say("no, make it 4")
    assert TransitionTaken("f", "c", "a", "corrected") in talk.last.trace
