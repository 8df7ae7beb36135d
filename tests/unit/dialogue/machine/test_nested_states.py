"""Nested states: where they start, what they inherit, and what happens when they are entered and exited."""

from __future__ import annotations

import pytest

from tests.support.flows import Talk, compiled

TRAVEL = """
slots:
  n: {type: integer, ask: How many?}
  day: {type: date, ask: When?}
  seen: {type: integer, fill: asked_only, ask: "?"}
  ok: {type: boolean, fill: asked_only, ask: "{n} then?"}
states:
  trip:
    entry: {set: {seen: 1}}
    exit: {say: Leaving the trip.}
    say: A trip.
    initial: people
    no_match: {retries: 0, to: human}
    timeout: {after: 5m, say: Too slow., to: parked}
    states:
      people: {collect: [n], next: dates}
      dates:
        entry: [{set: {seen: "${slots.seen + 1}"}}, {say: "Seen {seen}."}]
        exit: {say: Leaving the dates.}
        collect: [day]
        next: checked
      checked: {end: true}
    next:
      - {event: hurry.*, say: Hurry., to: done}
      - {event: again, to: trip.dates, internal: true}
      - {event: anew, to: trip.dates}
      - {event: count, set: {seen: "${slots.seen + 10}"}}
      - {to: confirm}
  confirm: {collect: [ok], next: done}
  done: {say: Done., end: true}
  human: {handoff: desk}
  parked: {say: Parked.}
interrupts: {allow: [cancel]}
"""


@pytest.fixture
def talk():
    return Talk.about(compiled(TRAVEL))


def test_a_composite_state_starts_in_its_initial_state(talk):
    assert talk.snapshot.state == "trip.people"
    assert talk.replies == ["A trip.", "How many?"]


def test_entry_and_exit_actions_are_executed_in_order(talk):
    assert talk.say("4").replies == ["Seen 2.", "When?"]
    assert talk.say("tomorrow").replies == ["Leaving the dates.", "Leaving the trip.", "4 then?"]


def test_an_end_within_a_state_takes_that_states_transition(talk):
    talk.say("4").say("tomorrow")
    assert talk.path == ["trip.checked", "confirm"]


def test_a_state_inherits_no_match_and_timeout_from_its_parent(talk):
    assert talk.say("purple").snapshot.status == "handed_off"
    silent = Talk.about(compiled(TRAVEL)).ring()
    assert silent.replies == ["Leaving the trip.", "Too slow.", "Parked."]


def test_an_event_is_handled_by_the_parent_of_the_waiting_state(talk):
    assert talk.event("hurry.now").replies == ["Leaving the trip.", "Hurry.", "Done."]


def test_an_internal_transition_does_not_exit_its_own_state(talk):
    assert talk.event("again").replies == ["Seen 2.", "When?"]
    assert talk.event("anew").replies == [
        "Leaving the dates.", "Leaving the trip.", "A trip.", "Seen 2.", "When?",
    ]  # fmt: skip


def test_a_transition_without_a_target_only_executes_its_actions(talk):
    assert talk.event("count").replies == []
    assert (talk.slots["seen"], talk.snapshot.state) == (11, "trip.people")
    assert talk.say("4").replies == ["Seen 12.", "When?"]


def test_a_correction_goes_back_into_the_composite_state_and_forward_again(talk):
    talk.say("4").say("tomorrow").say("no, make it 6")
    assert talk.path == ["trip.people", "trip.dates", "trip.checked", "confirm"]
    assert talk.slots["n"] == 6


def test_a_name_is_resolved_among_siblings_first_and_then_outwards():
    talk = Talk.about(
        compiled("""
states:
  a:
    states:
      b: {next: c}
      c: {next: a.d.c}
      d: {states: {c: {say: inner c, next: e}}}
  c: {say: outer c, end: true}
  e: {say: e, end: true}
""")
    )
    assert talk.path == ["a.b", "a.c", "a.d.c", "e"]


HISTORY = """
slots:
  x: {type: string, ask: X?}
  y: {type: string, ask: Y?}
states:
  outer:
    states:
      first: {collect: [x], next: inner}
      inner:
        states:
          one: {say: One., next: two}
          two: {collect: [y], next: over}
          over: {say: Over.}
      shallow: {history: shallow, next: first}
      deep: {history: deep, next: [{say: Never been there., to: first}]}
    next:
      - {event: away, to: aside}
  aside:
    next:
      - {event: shallow, to: outer.shallow}
      - {event: deep, to: outer.deep}
"""


@pytest.mark.parametrize(
    ("kind", "path"), [("shallow", ["outer.inner.one", "outer.inner.two"]), ("deep", ["outer.inner.two"])]
)
def test_history_restores_the_exited_states(kind, path):
    talk = Talk.about(compiled(HISTORY)).say("blue").event("away").event(kind)
    assert talk.path == path


def test_history_takes_its_default_if_nothing_was_exited():
    flow = compiled(HISTORY.replace("states:\n  outer", "initial: aside\nstates:\n  outer", 1))
    talk = Talk.about(flow).event("deep")
    assert talk.replies == ["Never been there.", "X?"]
