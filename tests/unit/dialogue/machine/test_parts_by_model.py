"""What a model proposes for slots that have parts."""

from __future__ import annotations

import pytest

from tests.support.flows import Talk, compiled
from tests.support.parted_flows import ADDRESS, ORDER, VISIT, drafts


class TestAModel:
    BODY = ORDER.replace("collect: [order", "model: chat, collect: [order")

    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(self.BODY))

    def test_it_is_told_what_the_parts_are_and_what_is_known(self, talk):
        wish = talk.say("soup").say("whatever you like").interpret
        assert "order.next.dish = soup" in wish.instructions
        (offer,) = (each for each in wish.offers if each.name == "set_slot")
        described = offer.parameters["properties"]["value"]["description"]
        assert "dish: one of these values: soup, cake" in described

    def test_it_gives_a_list_whole(self, talk):
        talk.say("the usual")
        talk.means(("set_slot", {"slot": "order", "value": [{"dish": "soup", "count": 2}]}))
        assert talk.replies == ["Anything else?"]
        assert talk.say("no").slots["order"] == [{"dish": "soup", "count": 2}]

    def test_an_item_that_lacks_something_is_refused(self, talk):
        talk.say("the usual").means(("set_slot", {"slot": "order", "value": [{"dish": "soup"}]}))
        assert talk.replies == ["The order needs: count. Soup or cake?"]

    def test_it_goes_on_with_a_list_that_grows(self, talk):
        talk.say("soup").say("2").say("the usual as well")
        assert "set_slot" in {each.name for each in talk.interpret.offers}
        items = [{"dish": "soup", "count": 2}, {"dish": "cake", "count": 1}]
        talk.means(("set_slot", {"slot": "order", "value": items}))
        assert talk.say("no").slots["order"] == items

    def test_a_whole_list_leaves_nothing_of_an_item_that_was_begun(self, talk):
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
    def test_what_is_no_datetime_is_refused(self, value):
        body = VISIT.replace("ask: {collect", "ask: {model: chat, collect")
        talk = Talk.about(compiled(body)).say("hm")
        talk.means(("set_slot", {"slot": "when", "value": value}))
        assert dict(talk.slots) == {}
        assert talk.replies[-1].endswith("When?")

    def test_a_part_that_is_not_needed_may_be_null(self):
        body = ADDRESS.replace("ask: {collect", "ask: {model: chat, collect")
        talk = Talk.about(compiled(f"{body}understanding: {{when: always}}")).say("hm")
        given = {"street": "Main Street", "number": 12, "since": None, "floor": None}
        talk.means(("set_slot", {"slot": "address", "value": given}))
        assert talk.slots["address"] == {"street": "Main Street", "number": 12}

    def test_it_gives_some_fields_of_an_object(self):
        body = ADDRESS.replace("ask: {collect", "ask: {model: chat, collect")
        talk = Talk.about(compiled(f"{body}understanding: {{when: always}}"))
        talk.say("hm, no idea").means(("set_slot", {"slot": "address", "value": {"number": 7}}))
        assert drafts(talk) == {"address": {"number": 7}}
        assert talk.replies == ["Which street?"]
