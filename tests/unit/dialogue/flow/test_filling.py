"""What the check says is surely filled is filled, and where it says that nothing leads nothing ever is."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.lint.control_flow import reachable
from clawdbot_dialogue.core.flow.lint.definite_assignment import surely_filled
from clawdbot_dialogue.core.machine.effects import SlotChanged, Understood
from clawdbot_dialogue.core.machine.step_result import StepResult, TransitionTaken
from hypothesis import given, settings

from tests.support.flows import compiled
from tests.support.random_histories import HISTORIES, PROFILE, active, libraries, play


def beyond(taken: StepResult) -> bool:
    """Whether something happened that the check does not think of."""
    corrected = any(isinstance(each, TransitionTaken) and each.cause == "corrected" for each in taken.trace)
    unset = any(note.code == "not-set" for note in taken.notes)
    taken_back = any(
        command.accepted and command.value is None and command.name in ("set_slot", "correct_slot")
        for effect in taken.effects
        if isinstance(effect, Understood)
        for command in effect.commands
    )
    # A subflow that did not learn what is taken from it.
    over = any(isinstance(each, TransitionTaken) and each.cause == "resumed" for each in taken.trace)
    emptied = any(isinstance(effect, SlotChanged) and effect.value is None for effect in taken.effects)
    return corrected or unset or taken_back or (over and emptied)


@settings(PROFILE, max_examples=100)
@given(library=libraries(), history=HISTORIES)
def test_what_is_surely_filled_is_filled_wherever_a_conversation_goes(library, history):
    filled = {flow.name: surely_filled(flow).states for flow in library.list()}
    for _, _, taken in play(library, history):
        if beyond(taken) or taken.snapshot.status == "ended":  # what has ended has been left
            return
        for frame in taken.snapshot.frames:
            for place in frame.places:
                missing = filled[frame.flow][place.state] - frame.slots.keys()
                assert not missing, f"{place.state} lacks {missing}"


@settings(PROFILE, max_examples=50)
@given(library=libraries(), history=HISTORIES)
def test_a_conversation_is_only_where_the_check_says_that_something_leads(library, history):
    ends = {
        flow.name: reachable(flow, [name for name in (flow.initial, flow.on_handoff) if name])
        for flow in library.list()
    }
    for _, _, taken in play(library, history):
        for frame in taken.snapshot.frames:
            assert active(frame) <= ends[frame.flow]


def known(body: str, state: str) -> frozenset[str]:
    return surely_filled(compiled(body)).states[state]


SLOTS = (
    "slots: {x: {type: string, ask: X?}, y: {type: string, ask: Y?}, ok: {type: boolean, fill: asked_only}}\n"
)


def test_a_region_begins_though_another_of_its_states_was_come_to_before():
    body = """
states:
  p:
    parallel:
      one: {states: {a: {collect: [x], next: over}, desk: {handoff: d}, over: {end: true}}}
      two: {states: {b: {collect: [y], next: over}, over: {end: true}}}
    next: c
  c: {say: "{x} {y}", end: true}
  start: {next: p}
initial: start
"""
    # Who wants a person comes to the desk first, and to the region beside it.
    assert known(SLOTS + body, "p.one.a") == known(SLOTS + body, "p.two.b") == frozenset()


def test_what_every_region_fills_is_filled_after_all_have_ended():
    body = """
states:
  p:
    parallel:
      one: {states: {a: {collect: [x], next: over}, over: {end: true}}}
      two: {states: {b: {collect: [y], next: over}, over: {end: true}}}
    next: c
  c: {say: "{x} {y}", end: true}
"""
    assert known(SLOTS + body, "c") == {"x", "y"}
    assert known(SLOTS + body, "p.two.over") == {"y"}


def test_what_another_region_may_empty_is_not_counted_on():
    body = """
states:
  p:
    parallel:
      one: {states: {a: {collect: [x], next: over}, over: {end: true}}}
      two: {states: {b: {next: [{event: e, clear: [x], to: over}]}, over: {end: true}}}
    next: c
  c: {say: c, end: true}
"""
    assert known(SLOTS + body, "c") == set()


def test_a_confirmation_is_empty_where_it_is_asked_for_anew():
    body = """
states:
  a: {collect: [ok], next: b}
  b: {say: b, collect: [ok], next: c}
  c: {end: true}
"""
    assert known(SLOTS + body, "b") == set()
    assert known(SLOTS + body, "c") == {"ok"}


def test_an_event_that_only_empties_a_slot_empties_it_where_it_comes():
    body = """
states:
  a: {collect: [x], next: b}
  b: {collect: [y], next: [{event: e, clear: [x]}, {to: c}]}
  c: {end: true}
"""
    assert known(SLOTS + body, "c") == {"y"}


def test_history_knows_what_was_known_there_unless_it_was_forgotten_meanwhile():
    body = """
states:
  s:
    states:
      h: {history: deep, next: a}
      a: {collect: [x], next: b}
      b: {collect: [y], next: over}
      over: {end: true}
    next: [{event: out, to: t}, {to: done}]
  t: {next: [{event: back, %sto: s.h}]}
  done: {end: true}
"""
    assert known(SLOTS + body % "", "s.b") == {"x"}
    assert known(SLOTS + body % "clear: [x], ", "s.b") == set()
    assert known(SLOTS + body % "clear: [x], ", "s.over") == {"y"}
