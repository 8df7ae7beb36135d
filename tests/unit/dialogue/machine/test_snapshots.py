"""A snapshot becomes JSON and back without loss; what is damaged is refused, never guessed at."""

from __future__ import annotations

import json

import pytest
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound
from clawdbot_dialogue.core.machine.snapshot import Snapshot, SnapshotInvalid

from tests.support.flows import Talk, library

LIBRARY = library()


@pytest.fixture
def talk():
    talk = Talk.about(LIBRARY.get("support"))
    return talk.say("My coat was stolen").say("book a table for 4 tomorrow at 7")


def test_a_snapshot_survives_json(talk):
    stored = json.loads(json.dumps(talk.snapshot.to_json()))
    assert Snapshot.from_json(stored, LIBRARY.get) == talk.snapshot


def test_a_snapshot_of_every_moment_goes_on_as_the_original_does(talk):
    again = Talk(
        LIBRARY.get, Snapshot.from_json(json.loads(json.dumps(talk.snapshot.to_json())), LIBRARY.get)
    )
    assert again.say("yes").effects == talk.say("yes").effects


def damaged(talk, change):
    stored = json.loads(json.dumps(talk.snapshot.to_json()))
    change(stored)
    return stored


DAMAGE = {
    "another format": lambda stored: stored.update(format=1),
    "no frames": lambda stored: stored.update(frames=[]),
    "frames that are none": lambda stored: stored.update(frames="x"),
    "a frame that is none": lambda stored: stored["frames"].append(7),
    "half a frame": lambda stored: stored["frames"][0].pop("slots"),
    "a state that is not there": lambda stored: stored["frames"][0]["places"][0].update(state="gone"),
    "a slot that is not there": lambda stored: stored["frames"][0].update(slots={"gone": 1}),
    "a question that is not there": lambda stored: stored["frames"][0]["places"][0].update(asked="gone"),
    "a way that is not there": lambda stored: stored["frames"][1].update(passed=["gone"]),
    "a way that is no way": lambda stored: stored["frames"][1].update(passed=[["party"]]),
    "a flow that is nowhere": lambda stored: stored["frames"][0].update(places=[]),
    "a place that is none": lambda stored: stored["frames"][0].update(places=[7]),
    "a seal on what is not there": lambda stored: stored["frames"][1].update(sealed=["gone"]),
    "a memory of what is not there": lambda stored: stored["frames"][1].update(left={"gone": ["party"]}),
    "an unknown key": lambda stored: stored.update(mood="fine"),
    "a key of another type": lambda stored: stored.update(ids="many"),
    "a status that is none": lambda stored: stored.update(status="asleep"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_refused_with_its_reason(talk, change):
    with pytest.raises(SnapshotInvalid) as refused:
        Snapshot.from_json(damaged(talk, change), LIBRARY.get)
    assert refused.value.explanation


def test_a_snapshot_of_a_flow_version_that_vanished_says_which(talk):
    with pytest.raises(FlowNotFound) as missing:
        Snapshot.from_json(damaged(talk, lambda stored: stored["frames"][0].update(version=7)), LIBRARY.get)
    assert (missing.value.name, missing.value.version) == ("support", 7)
