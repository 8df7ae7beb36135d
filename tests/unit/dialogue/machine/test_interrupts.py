"""Interrupts: another flow is pushed on the stack, ends, and the first one resumes."""

from __future__ import annotations

import pytest

from tests.support.flows import Talk, compiled

MAIN = """
slots:
  size: {type: integer, hints: [people], ask: How many?}
  day: {type: date, ask: When?}
  sure: {type: boolean, fill: asked_only, ask: "{size} on {day}, sure?"}
states:
  first:
    collect: [size]
    timeout: {after: 5m, to: parked}
    next: [{if: slots.size > 6, to: big}, {to: second}]
  second: {collect: [day], next: third}
  third: {collect: [sure], next: done}
  big: {say: Too big., end: true}
  parked: {say: Later.}
  done: {say: Done., end: true}
interrupts: {allow: [hours, order, cancel]}
on_cancel: Main stopped.
"""
HOURS = "triggers: [opening hours]\nstates: {only: {say: From 11 to 22., end: true}}"
ORDER = """
triggers: [order a cake]
slots:
  kind: {type: enum, values: [lemon, apple], ask: Lemon or apple?}
  when: {type: date, ask: For which day is the cake?}
states:
  kind: {say: A cake!, collect: [kind, when], next: buy}
  buy: {call: {tool: cakes.order, args: {kind: "${slots.kind}"}}, next: [{on_error: any, to: end}, {to: end}]}
  end: {say: Ordered., end: true}
interrupts: {allow: [hours, f, cancel]}
on_cancel: No cake.
"""


def conversation(main=MAIN):
    return Talk.about(compiled(main), compiled(HOURS, "hours"), compiled(ORDER, "order"))


@pytest.fixture
def talk():
    return conversation()


def stack(talk):
    return [(frame.flow, frame.state) for frame in talk.snapshot.frames]


def test_an_allowed_flow_interrupts_and_then_the_question_is_repeated(talk):
    talk.say("What are your opening hours?")
    assert talk.commands == [("start_flow", "hours", None, True)]
    assert talk.replies == ["From 11 to 22.", "How many?"]
    assert talk.path == ["only", "first"]
    assert stack(talk) == [("f", "first")]


def test_with_resume_silent_the_question_is_not_repeated():
    talk = conversation(MAIN.replace("cancel]}", "cancel], resume: silent}"))
    talk.say("opening hours?")
    assert talk.replies == ["From 11 to 22."]
    assert talk.say("4").replies == ["When?"]


def test_a_flow_that_is_not_allowed_does_not_interrupt():
    talk = conversation(MAIN.replace("allow: [hours, order, cancel]", "allow: [order, cancel]"))
    assert talk.say("opening hours?").commands == [("none", "", None, True)]


def test_an_allowed_flow_that_does_not_exist_is_ignored():
    talk = Talk.about(compiled(MAIN))
    assert talk.say("opening hours?").commands == [("none", "", None, True)]


def test_the_message_that_interrupts_may_answer_too(talk):
    talk.say("4 people. What are your opening hours?")
    assert talk.commands == [("set_slot", "size", 4, True), ("start_flow", "hours", None, True)]
    assert talk.replies == ["From 11 to 22.", "When?"]


def test_the_message_that_interrupts_fills_the_slots_of_the_new_flow(talk):
    talk.say("I'd like to order a cake with apple")
    assert stack(talk) == [("f", "first"), ("order", "kind")]
    assert dict(talk.slots) == {"kind": "apple"}
    assert talk.replies == ["A cake!", "For which day is the cake?"]


def test_slots_of_two_flows_are_separate(talk):
    talk.say("4").say("order a cake").say("lemon").say("tomorrow")
    assert dict(talk.slots) == {"kind": "lemon", "when": "2026-11-25"}
    talk.returns(None)
    assert stack(talk) == [("f", "second")]
    assert dict(talk.slots) == {"size": 4}
    assert talk.replies == ["Ordered.", "When?"]


def test_cancel_ends_the_running_flow_and_the_other_resumes(talk):
    talk.say("4").say("order a cake").say("cancel")
    assert talk.replies == ["No cake.", "When?"]
    talk.say("cancel")
    assert talk.replies == ["Main stopped."]
    assert talk.snapshot.status == "ended"


def test_interrupts_may_be_interrupted_but_not_by_a_flow_on_the_stack(talk):
    talk.say("order a cake").say("opening hours?")
    assert talk.path == ["only", "kind"]
    talk.say("order a cake")
    assert stack(talk) == [("f", "first"), ("order", "kind")]


def test_a_correction_with_an_interrupt_goes_through_the_guards_afterwards(talk):
    talk.say("4 people tomorrow")
    assert talk.state == "third"
    talk.say("no, make it 8 people. And what are the opening hours?")
    assert talk.replies == ["From 11 to 22.", "Too big."]
    assert talk.snapshot.status == "ended"


def test_a_timer_stops_during_an_interrupt_and_is_set_again_after_it(talk):
    first = talk.timer
    talk.say("order a cake")
    assert talk.timer == ""
    talk.say("cancel")
    assert talk.timer not in ("", first)


def test_a_conversation_at_rest_can_be_interrupted_too(talk):
    talk.ring().say("opening hours?")
    assert talk.replies == ["From 11 to 22.", "How many?"]


def test_a_flow_interrupted_on_restart_continues_with_its_first_state():
    talk = Talk.about(
        compiled(
            "states:\n  a: {call: {tool: t}, next: b}\n  b: {say: Rested.}\ninterrupts: {allow: [hours]}"
        ),
        compiled(HOURS, "hours"),
    )
    talk.returns(None).say("opening hours?")
    assert talk.replies == ["From 11 to 22."]
    assert talk.call.tool == "t"
    assert talk.returns(None).replies == ["Rested."]


def test_a_trigger_within_a_long_free_text_starts_nothing():
    talk = Talk.about(
        compiled("slots: {x: {type: string, ask: q}}\nstates: {a: {collect: [x], next: b}, b: {end: true}}\n"
                 "interrupts: {allow: [hours]}"),
        compiled(HOURS, "hours"),
    )  # fmt: skip
    talk.say("Nobody told me about the opening hours and so I stood there for an hour in the rain")
    assert [name for name, *_ in talk.commands] == ["set_slot"]


def test_the_stack_is_bounded():
    names = [f"g{number}" for number in range(12)]
    others = [
        compiled(
            f"triggers: [go {name}]\n"
            "slots: {x: {type: date, ask: q}}\n"
            "states: {a: {collect: [x], next: b}, b: {end: true}}\n"
            f"interrupts: {{allow: [{', '.join(each for each in names if each != name)}]}}",
            name,
        )
        for name in names
    ]
    talk = Talk.about(*others)
    for name in names[1:]:
        talk.say(f"go {name}")
    assert len(talk.snapshot.frames) == 8
