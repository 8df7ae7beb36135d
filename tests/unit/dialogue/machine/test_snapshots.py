"""A snapshot is converted to JSON and back without loss; a damaged one is refused, never repaired."""

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


def test_a_restored_snapshot_continues_as_the_original_does(talk):
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
    "frames of another type": lambda stored: stored.update(frames="x"),
    "a frame of another type": lambda stored: stored["frames"].append(7),
    "an incomplete frame": lambda stored: stored["frames"][0].pop("slots"),
    "an unknown active state": lambda stored: stored["frames"][0]["places"][0].update(state="gone"),
    "an unknown slot": lambda stored: stored["frames"][0].update(slots={"gone": 1}),
    "an unknown question": lambda stored: stored["frames"][0]["places"][0].update(asked="gone"),
    "an unknown visited state": lambda stored: stored["frames"][1].update(passed=["gone"]),
    "a visited state of another type": lambda stored: stored["frames"][1].update(passed=[["party"]]),
    "no active state": lambda stored: stored["frames"][0].update(places=[]),
    "an active state of another type": lambda stored: stored["frames"][0].update(places=[7]),
    "an unknown commit point": lambda stored: stored["frames"][1].update(sealed=["gone"]),
    "an unknown state in the history": lambda stored: stored["frames"][1].update(left={"gone": ["party"]}),
    "an unknown key": lambda stored: stored.update(mood="fine"),
    "a key of another type": lambda stored: stored.update(ids="many"),
    "an unknown status": lambda stored: stored.update(status="asleep"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_snapshot_is_refused_with_the_reason(talk, change):
    with pytest.raises(SnapshotInvalid) as refused:
        Snapshot.from_json(damaged(talk, change), LIBRARY.get)
    assert refused.value.explanation


def test_a_snapshot_of_a_missing_flow_version_names_it(talk):
    with pytest.raises(FlowNotFound) as missing:
        Snapshot.from_json(damaged(talk, lambda stored: stored["frames"][0].update(version=7)), LIBRARY.get)
    assert (missing.value.name, missing.value.version) == ("support", 7)
