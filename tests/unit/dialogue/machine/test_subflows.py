"""A flow that calls another: what it gives, what it takes back, and what can go wrong."""

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


def test_a_subflow_knows_what_it_is_given_and_gives_back_what_is_taken(talk):
    assert talk.say("4").replies == ["Where, for 4?"]
    assert [frame.flow for frame in talk.snapshot.frames] == ["caller", "address"]
    assert talk.say("Harbour Street 12").replies == ["Harbour Street 12."]
    assert talk.snapshot.status == "ended"


def test_where_it_ended_decides_the_way(talk):
    talk.say("4").say("Mars")
    assert talk.replies == ["Too far.", "Mars."]


def test_giving_it_up_gives_the_caller_its_turn(talk):
    talk.say("4").say("cancel")
    assert "No address then." in talk.replies


def test_a_value_that_it_refuses_is_a_failure(talk):
    assert talk.say("9").replies[0] == "That did not work."


def test_a_flow_that_is_not_there_is_a_failure():
    talk = Talk.about(compiled(CALLER.replace("address", "nowhere"), "caller"))
    assert talk.say("4").replies[0] == "That did not work."


def test_a_flow_that_calls_itself_for_ever_is_a_failure():
    talk = Talk.about(compiled("states:\n  a: {subflow: f, next: b}\n  b: {end: true}"))
    assert talk.failures == ["SUBFLOW_FAILED"]
    assert len(talk.snapshot.frames) == 8
