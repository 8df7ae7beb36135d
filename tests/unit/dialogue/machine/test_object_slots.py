"""Object slots: fields are asked for one after the other, and drafts are stored."""

from __future__ import annotations

import json

import pytest
from clawdbot_dialogue.core.machine.snapshot import Snapshot, SnapshotInvalid

from tests.support.composite_flows import ADDRESS, GUESTS, ORDER, VISIT, drafts
from tests.support.flows import Talk, compiled, library


@pytest.mark.parametrize(
    ("body", "slots", "stored"),
    [
        (ADDRESS, {}, {"address": {"since": 5}}),
        (ADDRESS, {}, {"address": 5}),
        (ADDRESS, {}, {"address": {"zone": 1}}),
        (ADDRESS, {"address": 5}, {}),
        (VISIT, {}, {"when": {"time": "abc"}}),
        (VISIT, {"when": 5}, {}),
        (GUESTS, {}, {"guests": {"items": [5]}}),
        (GUESTS, {}, {"guests": {"items": None}}),
        (GUESTS, {}, {"guests": ["Ann"]}),
        (ORDER, {}, {"order": {"next": 5}}),
        (ORDER, {}, {"order": {"items": [{"dish": "soup"}]}}),
    ],
)
def test_a_damaged_stored_value_is_refused(body, slots, stored):
    snapshot = json.loads(json.dumps(Talk.about(compiled(body)).snapshot.to_json()))
    snapshot["frames"][0] |= {"slots": slots, "drafts": stored}
    with pytest.raises(SnapshotInvalid, match=r"the stored value of|drafts"):
        Snapshot.from_json(snapshot, library(compiled(body)).get)


class TestObjects:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(ADDRESS))

    def test_the_fields_are_asked_for_in_order_after_the_objects_question(self, talk):
        assert talk.replies == ["Where do you live? Which street?"]
        assert talk.say("Main Street").replies == ["Which number?"]
        assert talk.say("12").replies == ["How many pets?"]
        assert dict(talk.slots) == {"address": {"street": "Main Street", "number": 12}}

    def test_a_message_fills_several_fields_and_other_slots(self, talk):
        talk.say("Main Street").say("12 upper floor, and 2 pets")
        assert talk.commands == [
            ("set_slot", "pets", 2, True),
            ("set_slot", "address", {"floor": "upper", "number": 12}, True),
        ]
        assert talk.slots["address"] == {"street": "Main Street", "number": 12, "floor": "upper"}
        assert talk.replies == ["Main Street, 12, upper"]

    def test_the_missing_half_of_an_optional_field_is_asked_for(self, talk):
        talk.say("Main Street").say("12, since 2026-11-23")
        assert talk.replies == ["At what time?"]
        talk.say("9am")
        assert talk.slots["address"]["since"] == "2026-11-23T09:00"

    def test_an_invalid_field_is_refused_by_its_own_name(self, talk):
        talk.say("Main Street").say("0")
        assert talk.replies == ["The number must be at least 1. Which number?"]
        assert drafts(talk) == {"address": {"street": "Main Street"}}

    def test_a_field_is_corrected_alone(self, talk):
        talk.say("Main Street").say("12").say("change the street")
        assert talk.replies == ["Which street?"]
        talk.say("High Street")
        assert talk.slots["address"] == {"street": "High Street", "number": 12}
