"""List slots: items are named, added and removed; composite items are filled part by part."""

from __future__ import annotations

from textwrap import dedent
from unittest.mock import ANY

import pytest

from tests.support.composite_flows import GUESTS, ORDER, conversation, drafts
from tests.support.flows import Talk, compiled


class TestLists:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(GUESTS))

    def test_it_grows_until_the_person_says_no(self, talk):
        assert talk.say("Ann and Bob").replies == ["Who else?"]
        assert dict(talk.slots) == {}
        assert talk.say("also Carol").replies == ["Who else?"]
        assert talk.say("that's all").replies == ["Ann, Bob and Carol?"]
        assert dict(talk.slots) == {"guests": ["Ann", "Bob", "Carol"]}

    def test_yes_repeats_the_first_question(self, talk):
        assert talk.say("Ann, Bob").say("yes").replies == ["Who comes?"]
        assert talk.say("Carol").say("no").slots["guests"] == ["Ann", "Bob", "Carol"]

    def test_a_list_with_too_few_items_asks_for_more(self, talk):
        assert talk.say("Ann").replies == ["Who comes?"]
        assert talk.say("no").replies == ["The list of guests needs at least 2. Who comes?"]
        assert talk.say("Bob").replies == ["Who else?"]

    def test_a_list_with_the_maximum_of_items_is_complete(self, talk):
        assert talk.say("Ann, Bob, Carol, Dave").replies == ["Ann, Bob, Carol and Dave?"]

    def test_too_many_items_are_refused(self, talk):
        assert talk.say("A, B, C, D and E").replies == [
            "The list of guests cannot have more than 4. Who comes?"
        ]

    def test_an_item_can_be_removed_before_and_after_completion(self, talk):
        talk.say("Ann, Bob, Carol").say("without Bob")
        assert drafts(talk) == {"guests": {"items": ["Ann", "Carol"]}}
        talk.say("Dave").say("no").say("remove Ann, please")
        assert talk.commands == [("correct_slot", "guests", ["Carol", "Dave"], True)]
        assert talk.replies == ["Carol and Dave?"]

    def test_an_item_said_twice_is_added_once(self, talk):
        talk.say("Ann, Bob").say("and Ann")
        assert drafts(talk) == {"guests": {"items": ["Ann", "Bob"]}}

    def test_it_works_in_chinese_too(self, talk):
        assert talk.say("李雷和小王").replies == ["还有谁？"]
        assert talk.say("再加小李").say("不要小王").replies == ["还有谁？"]
        assert talk.say("就这些").replies == ["李雷和小李？"]

    def test_clearing_a_list_clears_its_draft(self, talk):
        talk.say("Ann, Bob").say("no").say("no")
        assert talk.replies == ["Who comes?"]
        assert (dict(talk.slots).get("guests"), drafts(talk)) == (None, {})


class TestListsOfObjects:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(ORDER))

    def test_items_are_filled_one_at_a_time(self, talk):
        assert talk.replies == ["Soup or cake?"]
        assert talk.say("soup").replies == ["How many?"]
        assert talk.say("2").replies == ["Anything else?"]
        assert talk.say("yes").replies == ["Soup or cake?"]
        assert talk.say("3 times cake").replies == ["How many?"]
        assert talk.say("3").say("no").replies == ["How old are the children?"]
        assert talk.slots["order"] == [{"dish": "soup", "count": 2}, {"dish": "cake", "count": 3}]

    def test_a_number_said_twice_is_two_items(self, talk):
        talk.say("soup").say("2").say("no").say("7 and 7")
        assert talk.slots["ages"] == [7, 7]
        assert talk.replies == ["soup, 2; 7 and 7"]

    def test_after_completion_a_mention_starts_no_new_item(self, talk):
        talk.say("soup").say("2").say("no").say("the cake is 7")
        assert talk.slots["order"] == [{"dish": "soup", "count": 2}]
        assert drafts(talk) == {}


class TestCompositeItems:
    VISITS = """
    slots:
      visits: {type: list, items: {type: datetime, min: now}, ask: When?, more: When else?, min_items: 2}
      ok: {type: boolean, fill: asked_only, ask: Ok?}
    states: {a: {collect: [visits], next: b}, b: {collect: [ok], next: c}, c: {end: true}}
    """
    LINES = """
    slots:
      lines:
        type: list
        min_items: 0
        more: More?
        items:
          type: object
          fields:
            what: {type: enum, values: [taxi, hotel, lunch], ask: For what?}
            price: {type: money, currencies: [EUR], max: 500, ask: How much?}
            day: {type: datetime, max: now, required: false}
      ok: {type: boolean, fill: asked_only, ask: "{lines}. Ok?"}
    states: {a: {collect: [lines], next: b}, b: {collect: [ok], next: c}, c: {end: true}}
    """

    def test_datetimes_are_asked_for_until_there_are_enough(self):
        talk = conversation(self.VISITS, "monday at 5pm")
        assert talk.replies == ["When?"]
        assert talk.say("tuesday").replies == ["At what time?"]
        assert talk.say("6pm").replies == ["When else?"]
        assert talk.say("yes").replies == ["When?"]
        assert talk.say("no").slots["visits"] == ["2026-11-30T17:00", "2026-12-01T18:00"]

    @pytest.mark.parametrize("text", ["monday at 5pm and tuesday at 6pm", "周一下午五点和周二下午六点"])
    def test_one_message_names_several_datetimes(self, text):
        talk = conversation(
            f"locales: [en, zh]\n{dedent(self.VISITS)}".replace("ask: When?", "ask: {en: W, zh: 哪}")
            .replace("more: When else?", "more: {en: E, zh: 还}")
            .replace("ask: Ok?", "ask: {en: O, zh: 好}"),
            text,
        )
        assert drafts(talk)["visits"]["items"] == ["2026-11-30T17:00", "2026-12-01T18:00"]

    def test_two_dates_for_one_item_lead_to_a_clarifying_question(self):
        assert conversation(self.VISITS, "monday and tuesday at 5pm").replies[0].startswith("Is it Monday")

    def test_one_message_names_several_items(self):
        talk = conversation(self.LINES, "20 euros for lunch and 100 euros for the hotel").say("no")
        assert [(each["what"], each["price"]["amount"]) for each in talk.slots["lines"]] == [
            ("lunch", 20.0),
            ("hotel", 100.0),
        ]
        assert talk.replies == ["lunch, 20 EUR; hotel, 100 EUR. Ok?"]

    def test_other_values_in_the_message_are_extracted_too(self):
        body = self.LINES.replace("      ok:", "      trip: {type: date, ask: Trip when?}\n      ok:")
        talk = conversation(body, "20 euros for lunch and 100 euros for the hotel, the trip is on 2026-12-01")
        assert talk.slots["trip"] == "2026-12-01"
        assert len(drafts(talk)["lines"]["items"]) == 2

    def test_half_an_optional_datetime_does_not_drop_an_item(self):
        talk = conversation(self.LINES, "20 euros for lunch on 2026-11-20 and 100 euros for the hotel", "no")
        assert [each["what"] for each in talk.slots["lines"]] == ["lunch", "hotel"]

    def test_incomplete_items_lead_to_a_clarifying_question(self):
        assert conversation(self.LINES, "lunch and hotel").replies == ["Is it lunch or hotel? For what?"]

    def test_valid_parts_of_an_item_are_kept(self):
        talk = conversation(self.LINES, "a taxi for 9000 euros")
        assert talk.replies == ["The price must be at most 500. How much?"]
        assert drafts(talk) == {"lines": {"next": {"what": "taxi"}}}

    def test_only_the_invalid_part_is_dropped(self):
        talk = conversation(self.LINES, "20 euros lunch", "tomorrow at 9am, taxi")
        assert talk.replies[0].startswith("The day must not be after")
        assert drafts(talk) == {"lines": {"items": ANY, "next": {"what": "taxi"}}}

    @pytest.mark.parametrize("text", ["none", "nothing", "no"])
    def test_a_list_may_be_empty(self, text):
        assert conversation(self.LINES, text).slots["lines"] == []

    def test_a_person_who_wanted_another_item_may_change_their_mind(self):
        talk = conversation(self.LINES, "20 euros lunch", "yes", "that's all")
        assert len(talk.slots["lines"]) == 1

    @pytest.mark.parametrize("before", [(), ("no",)])
    def test_an_item_is_removed_by_its_parts(self, before):
        lines = ("20 euros lunch", "100 euros hotel", *before, "without the hotel", *("no",) * (not before))
        assert [each["what"] for each in conversation(self.LINES, *lines).slots["lines"]] == ["lunch"]

    def test_an_item_is_added_later(self):
        talk = conversation(self.LINES, "20 euros lunch", "no", "also a taxi for 5 euros")
        assert [each["what"] for each in talk.slots["lines"]] == ["lunch", "taxi"]
