"""States within states: where they begin, what they inherit, what happens on the way in and out."""

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


def test_a_state_that_holds_others_begins_in_its_initial_one(talk):
    assert talk.snapshot.state == "trip.people"
    assert talk.replies == ["A trip.", "How many?"]


def test_entry_and_exit_actions_happen_in_order_on_the_way(talk):
    assert talk.say("4").replies == ["Seen 2.", "When?"]
    assert talk.say("tomorrow").replies == ["Leaving the dates.", "Leaving the trip.", "4 then?"]


def test_an_end_within_a_state_leads_where_that_state_goes(talk):
    talk.say("4").say("tomorrow")
    assert talk.path == ["trip.checked", "confirm"]


def test_what_a_state_does_not_have_the_one_that_holds_it_has(talk):
    assert talk.say("purple").snapshot.status == "handed_off"
    silent = Talk.about(compiled(TRAVEL)).ring()
    assert silent.replies == ["Leaving the trip.", "Too slow.", "Parked."]


def test_an_event_is_taken_by_the_state_that_holds_the_one_that_waits(talk):
    assert talk.event("hurry.now").replies == ["Leaving the trip.", "Hurry.", "Done."]


def test_an_internal_transition_does_not_leave_the_state_that_it_belongs_to(talk):
    assert talk.event("again").replies == ["Seen 2.", "When?"]
    assert talk.event("anew").replies == [
        "Leaving the dates.", "Leaving the trip.", "A trip.", "Seen 2.", "When?",
    ]  # fmt: skip


def test_a_transition_to_nowhere_does_its_actions_and_asks_nothing_again(talk):
    assert talk.event("count").replies == []
    assert (talk.slots["seen"], talk.snapshot.state) == (11, "trip.people")
    assert talk.say("4").replies == ["Seen 12.", "When?"]


def test_a_correction_goes_back_into_the_state_and_to_its_way_forward(talk):
    talk.say("4").say("tomorrow").say("no, make it 6")
    assert talk.path == ["trip.people", "trip.dates", "trip.checked", "confirm"]
    assert talk.slots["n"] == 6


def test_a_name_is_looked_for_beside_where_it_stands_then_outwards():
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
def test_history_comes_back_to_what_was_left(kind, path):
    talk = Talk.about(compiled(HISTORY)).say("blue").event("away").event(kind)
    assert talk.path == path


def test_history_takes_its_default_where_nothing_was_left():
    flow = compiled(HISTORY.replace("states:\n  outer", "initial: aside\nstates:\n  outer", 1))
    talk = Talk.about(flow).event("deep")
    assert talk.replies == ["Never been there.", "X?"]
