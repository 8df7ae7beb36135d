"""Subflows: what they are given, what they return, and what can go wrong."""

from __future__ import annotations

import pytest

from tests.support.flows import Talk, compiled

CALLER = """
slots:
  n: {type: integer, max: 10, ask: How many?}
  street: {type: string, ask: Street?}
states:
  size: {collect: [n], next: where}
  where:
    subflow: {flow: address, give: {rooms: "${slots.n}"}, take: {street: road}}
    next:
      - {on_error: cancelled, say: No address then., to: done}
      - {on_error: any, say: That did not work., to: done}
      - {if: "result.state == 'far'", say: Too far., to: done}
      - {to: done}
  done: {say: "{street}.", end: true}
"""
ADDRESS = """
slots:
  rooms: {type: integer, max: 8, ask: Rooms?}
  road: {type: string, ask: "Where, for {rooms}?"}
states:
  road: {collect: [road], next: [{if: "slots.road == 'Mars'", to: far}, {to: near}]}
  near: {end: true}
  far: {end: true}
"""


@pytest.fixture
def talk():
    return Talk.about(compiled(CALLER, "caller"), compiled(ADDRESS, "address"))


def test_a_subflow_takes_and_returns_slots(talk):
    assert talk.say("4").replies == ["Where, for 4?"]
    assert [frame.flow for frame in talk.snapshot.frames] == ["caller", "address"]
    assert talk.say("Harbour Street 12").replies == ["Harbour Street 12."]
    assert talk.snapshot.status == "ended"


def test_the_end_state_of_a_subflow_decides_the_transition(talk):
    talk.say("4").say("Mars")
    assert talk.replies == ["Too far.", "Mars."]


def test_cancelling_a_subflow_returns_to_the_caller(talk):
    talk.say("4").say("cancel")
    assert "No address then." in talk.replies


def test_a_value_that_the_subflow_refuses_is_an_error(talk):
    assert talk.say("9").replies[0] == "That did not work."


def test_a_missing_subflow_is_an_error():
    talk = Talk.about(compiled(CALLER.replace("address", "nowhere"), "caller"))
    assert talk.say("4").replies[0] == "That did not work."


def test_endless_recursion_is_an_error():
    talk = Talk.about(compiled("states:\n  a: {subflow: f, next: b}\n  b: {end: true}"))
    assert talk.failures == ["SUBFLOW_FAILED"]
    assert len(talk.snapshot.frames) == 8
