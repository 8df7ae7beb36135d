"""Proposals of a model for composite slots."""

from __future__ import annotations

import pytest

from tests.support.composite_flows import ADDRESS, ORDER, VISIT, drafts
from tests.support.flows import Talk, compiled


class TestCompositeProposals:
    BODY = ORDER.replace("collect: [order", "model: chat, collect: [order")

    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(self.BODY))

    def test_the_prompt_describes_the_parts_and_the_known_values(self, talk: Talk):
        request = talk.say("soup").say("whatever you like").interpret
        assert "order.next.dish = soup" in request.instructions
        (set_slot,) = (each for each in request.command_tools if each.name == "set_slot")
        described = set_slot.parameters["properties"]["value"]["description"]
        assert "dish: one of these values: soup, cake" in described

    def test_a_proposal_may_set_a_whole_list(self, talk):
        talk.say("the usual")
        talk.means(("set_slot", {"slot": "order", "value": [{"dish": "soup", "count": 2}]}))
        assert talk.replies == ["Anything else?"]
        assert talk.say("no").slots["order"] == [{"dish": "soup", "count": 2}]

    def test_an_incomplete_item_is_refused(self, talk):
        talk.say("the usual").means(("set_slot", {"slot": "order", "value": [{"dish": "soup"}]}))
        assert talk.replies == ["The order needs: count. Soup or cake?"]

    def test_a_proposal_may_extend_an_unfinished_list(self, talk: Talk):
        talk.say("soup").say("2").say("the usual as well")
        assert "set_slot" in {each.name for each in talk.interpret.command_tools}
        items = [{"dish": "soup", "count": 2}, {"dish": "cake", "count": 1}]
        talk.means(("set_slot", {"slot": "order", "value": items}))
        assert talk.say("no").slots["order"] == items

    def test_a_proposed_list_replaces_an_unfinished_item(self, talk):
        talk.say("soup").say("the usual, please")
        talk.means(("set_slot", {"slot": "order", "value": [{"dish": "soup", "count": 1}]}))
        assert talk.say("no").slots["order"] == [{"dish": "soup", "count": 1}]

    @pytest.mark.parametrize(
        "value",
        [
            {"date": "2026-12-01", "time": "19:00", "timezone": "CET"}, {"zone": 1}, {"date": 5}, [], 10**400,
            "soon", {"date": {"date": "2026-12-01"}}, {},
        ],
    )  # fmt: skip
    def test_an_invalid_datetime_is_refused(self, value):
        body = VISIT.replace("ask: {collect", "ask: {model: chat, collect")
        talk = Talk.about(compiled(body)).say("hm")
        talk.means(("set_slot", {"slot": "when", "value": value}))
        assert dict(talk.slots) == {}
        assert talk.replies[-1].endswith("When?")

    def test_an_optional_part_may_be_null(self):
        body = ADDRESS.replace("ask: {collect", "ask: {model: chat, collect")
        talk = Talk.about(compiled(f"{body}understanding: {{when: always}}")).say("hm")
        given = {"street": "Main Street", "number": 12, "since": None, "floor": None}
        talk.means(("set_slot", {"slot": "address", "value": given}))
        assert talk.slots["address"] == {"street": "Main Street", "number": 12}

    def test_a_proposal_may_set_some_fields_of_an_object(self):
        body = ADDRESS.replace("ask: {collect", "ask: {model: chat, collect")
        talk = Talk.about(compiled(f"{body}understanding: {{when: always}}"))
        talk.say("hm, no idea").means(("set_slot", {"slot": "address", "value": {"number": 7}}))
        assert drafts(talk) == {"address": {"number": 7}}
        assert talk.replies == ["Which street?"]
