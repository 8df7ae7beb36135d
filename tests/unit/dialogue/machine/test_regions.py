"""Parallel regions: one question at a time, every message for all of them, joined when all have ended."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.machine.effects import SetTimer
from clawdbot_dialogue.core.machine.snapshot import Snapshot

from tests.support.flows import Talk, compiled, library

ORDER = """
slots:
  n: {type: integer, ask: How many?}
  day: {type: date, ask: When?}
  mail: {type: email, ask: Which address?}
  ok: {type: boolean, fill: asked_only, ask: Fine?}
states:
  order:
    say: An order.
    exit: {say: Order over.}
    parallel:
      what:
        exit: {say: What over.}
        states:
          size: {collect: [n], next: [{if: slots.n > 100, to: human}, {to: check}]}
          check: {call: {tool: stock, args: {n: "${slots.n}"}, effect: none}, next: [{on_error: any, to: human}, {to: fine}]}
          fine: {end: true}
      who:
        states:
          mail: {collect: [mail], timeout: {after: 1m, to: late}, next: [{event: known, to: day}, {to: day}]}
          day: {collect: [day], next: fine}
          late: {say: Late., next: day}
          fine: {end: true}
    next:
      - {event: stop, to: human}
      - {to: confirm}
  confirm: {collect: [ok], next: done}
  done: {say: "In stock: {result.what.left}.", end: true}
  human: {handoff: desk}
"""  # noqa: E501 - a flow


@pytest.fixture
def talk():
    return Talk.about(compiled(ORDER))


def test_all_regions_start_and_one_question_is_asked(talk):
    assert talk.snapshot.states == ("order.what.size", "order.who.mail")
    assert talk.replies == ["An order.", "How many?"]
    assert talk.snapshot.state == "order.what.size"


def test_a_message_is_processed_by_every_region(talk):
    talk.say("my address is ada@example.com")
    assert talk.snapshot.states == ("order.what.size", "order.who.day")
    assert talk.replies == ["How many?"]


def test_a_note_about_a_raised_event_that_nobody_takes_names_the_state_with_the_open_question():
    talk = Talk.about(
        compiled("""
            slots: {n: {type: integer}, m: {type: integer}}
            states:
              both:
                parallel:
                  one: {states: {ask: {collect: [n], next: over}, over: {end: true}}}
                  two: {states: {start: {say: Hello., entry: {raise: lost}, next: ask}, ask: {collect: [m], next: over}, over: {end: true}}}
                next: done
              done: {end: true}
        """)  # noqa: E501 - a flow
    )
    assert [(note.code, note.state) for note in talk.notes] == [("ignored-event", "both.one.ask")]
    assert talk.snapshot.state == "both.one.ask"


def test_after_one_region_the_next_one_asks(talk):
    talk.say("3")
    assert talk.call.tool == "stock"
    assert talk.returns({"left": 7}).replies == ["Which address?"]
    assert talk.snapshot.states == ("order.what.fine", "order.who.mail")


def test_after_all_regions_the_flow_continues_with_each_result(talk):
    talk.say("3").returns({"left": 7}).say("ada@example.com").say("tomorrow")
    assert talk.replies == ["What over.", "Order over.", "Fine?"]
    assert talk.say("yes").replies == ["In stock: 7."]


def test_a_transition_out_of_one_region_exits_all(talk):
    talk.say("ada@example.com").say("400")
    assert (talk.snapshot.states, talk.snapshot.status) == (("human",), "handed_off")


def test_an_event_is_handled_by_the_region_with_a_transition_for_it(talk):
    talk.event("known")
    assert talk.snapshot.states == ("order.what.size", "order.who.day")
    assert talk.replies == []


def test_an_event_of_the_parallel_state_is_handled_once(talk):
    assert talk.event("stop").replies.count("Order over.") == 1


def test_a_timeout_affects_its_own_region(talk):
    assert talk.ring().snapshot.states == ("order.what.size", "order.who.day")
    assert talk.replies == ["Late."]


def test_a_correction_goes_back_in_its_own_region(talk):
    talk.say("ada@example.com").say("3").returns({"left": 7})
    talk.say("no, bob@example.com")
    assert talk.snapshot.states == ("order.what.fine", "order.who.day")
    talk.say("actually, make it 5 people")
    assert talk.call.arguments == {"n": 5}
    assert talk.snapshot.states == ("order.what.check", "order.who.day")


def test_a_correction_after_the_join_goes_back_into_the_regions(talk):
    talk.say("3, ada@example.com, tomorrow").returns({"left": 7})
    assert talk.snapshot.state == "confirm"
    talk.say("no, bob@example.com")
    assert "order.who.mail" in talk.path


def test_a_transition_that_raises_an_event_reaches_the_other_region():
    talk = Talk.about(
        compiled("""
slots:
  n: {type: integer, ask: How many?}
states:
  both:
    parallel:
      left: {states: {a: {collect: [n], next: [{raise: ready, to: b}]}, b: {end: true}}}
      right: {states: {c: {next: [{event: ready, say: Heard., to: d}]}, d: {end: true}}}
    next: done
  done: {say: Done., end: true}
""")
    )
    assert talk.say("3").replies == ["Heard.", "Done."]


def test_a_conversation_in_several_regions_survives_json(talk):
    talk.say("3").returns({"left": 7})
    flows = library(compiled(ORDER)).get
    assert Snapshot.from_json(talk.snapshot.to_json(), flows) == talk.snapshot


def test_regions_without_an_enabled_transition_set_one_timer_each():
    flow = compiled(
        """
        states:
          both:
            timeout: {after: 1m, to: both}
            next: [{event: go, to: done}]
            parallel:
              one: {states: {a: {end: true}}}
              two: {states: {b: {end: true}}}
          done: {end: true}
        """
    )
    talk = Talk.about(flow)
    told = [each.timer_id for each in talk.last.effects if isinstance(each, SetTimer)]
    assert told == list(talk.snapshot.timers)
    assert len(told) == 2
