"""Slots that the analysis says are assigned always are, and unreachable states are never active."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.lint.analysis.control_flow import reachable
from clawdbot_dialogue.core.flow.lint.analysis.definite_assignment import definite_assignments
from clawdbot_dialogue.core.machine.effects import CommandsGenerated, SlotChanged
from clawdbot_dialogue.core.machine.step_result import StepResult, TransitionTaken
from hypothesis import given, settings

from tests.support.flows import compiled
from tests.support.properties import examples
from tests.support.random_histories import HISTORIES, PROFILE, active, libraries, play


def is_out_of_scope(taken: StepResult) -> bool:
    """Whether something happened that the analysis does not consider."""
    corrected = any(isinstance(each, TransitionTaken) and each.cause == "corrected" for each in taken.trace)
    unset = any(note.code == "not-set" for note in taken.notes)
    taken_back = any(
        command.accepted and command.value is None and command.name in ("set_slot", "correct_slot")
        for effect in taken.effects
        if isinstance(effect, CommandsGenerated)
        for command in effect.commands
    )
    # A subflow that ended without a slot that is taken from it.
    resumed = any(isinstance(each, TransitionTaken) and each.cause == "resumed" for each in taken.trace)
    cleared = any(isinstance(effect, SlotChanged) and effect.value is None for effect in taken.effects)
    return corrected or unset or taken_back or (resumed and cleared)


@settings(PROFILE, max_examples=examples(100))
@given(library=libraries(), history=HISTORIES)
def test_definitely_assigned_slots_have_values_in_every_conversation(library, history):
    assigned = {flow.name: definite_assignments(flow).in_state for flow in library.list()}
    for _, _, taken in play(library, history):
        if is_out_of_scope(taken) or taken.snapshot.status == "ended":  # its states have been exited
            return
        for frame in taken.snapshot.frames:
            for place in frame.active_states:
                missing = assigned[frame.flow][place.state] - frame.slots.keys()
                assert not missing, f"{place.state} lacks {missing}"


@settings(PROFILE, max_examples=examples(50))
@given(library=libraries(), history=HISTORIES)
def test_a_conversation_is_only_ever_in_reachable_states(library, history):
    reached = {
        flow.name: reachable(flow, [name for name in (flow.initial, flow.on_handoff) if name])
        for flow in library.list()
    }
    for _, _, taken in play(library, history):
        for frame in taken.snapshot.frames:
            assert active(frame) <= reached[frame.flow]


def known(body: str, state: str) -> frozenset[str]:
    return definite_assignments(compiled(body)).in_state[state]


SLOTS = (
    "slots: {x: {type: string, ask: X?}, y: {type: string, ask: Y?}, ok: {type: boolean, fill: asked_only}}\n"
)


def test_a_region_is_entered_by_default_after_another_of_its_states_was_reached():
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
    # A person who asks for a human goes to the desk first, which enters the region beside it.
    assert known(SLOTS + body, "p.one.a") == known(SLOTS + body, "p.two.b") == frozenset()


def test_what_each_region_assigns_is_assigned_after_the_join():
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


def test_what_another_region_may_clear_is_not_assigned():
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


def test_a_confirmation_is_unassigned_where_it_is_asked_again():
    body = """
states:
  a: {collect: [ok], next: b}
  b: {say: b, collect: [ok], next: c}
  c: {end: true}
"""
    assert known(SLOTS + body, "b") == set()
    assert known(SLOTS + body, "c") == {"ok"}


def test_a_targetless_transition_that_clears_a_slot_is_considered():
    body = """
states:
  a: {collect: [x], next: b}
  b: {collect: [y], next: [{event: e, clear: [x]}, {to: c}]}
  c: {end: true}
"""
    assert known(SLOTS + body, "c") == {"y"}


def test_history_keeps_what_was_assigned_unless_it_was_cleared_meanwhile():
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
