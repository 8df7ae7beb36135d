"""Values that come together over several messages: datetimes, objects and lists."""

from __future__ import annotations

import json

import pytest
from clawdbot_dialogue.core.machine.snapshot import Snapshot, SnapshotInvalid

from tests.support.flows import Talk, compiled, library

VISIT = """
locales: [en, zh]
slots:
  when: {type: datetime, min: now, max: now+7d, ask: {en: When?, zh: 什么时候？}}
  reason: {type: string, ask: {en: Why?, zh: 为什么？}}
states:
  ask: {collect: [when, reason], next: sure}
  sure: {say: {en: "On {when}.", zh: "{when}。"}, next: [{event: go, to: done}]}
  done: {end: true}
interrupts: {allow: [faq]}
"""
ADDRESS = """
slots:
  address:
    type: object
    ask: Where do you live?
    fields:
      street: {type: string, min_length: 3, ask: Which street?}
      number: {type: integer, min: 1, hints: [number], ask: Which number?}
      since: {type: datetime, ask: Since when?, required: false}
      floor: {type: enum, values: [ground, upper], required: false}
  pets: {type: integer, hints: [pets], ask: How many pets?}
states:
  ask: {collect: [address, pets], next: done}
  done: {say: "{address}", end: true}
"""
GUESTS = """
locales: [en, zh]
slots:
  guests:
    type: list
    items: {type: string}
    ask: {en: Who comes?, zh: 谁来？}
    more: {en: Who else?, zh: 还有谁？}
    min_items: 2
    max_items: 4
  sure: {type: boolean, fill: asked_only, ask: {en: "{guests}?", zh: "{guests}？"}}
states:
  ask: {collect: [guests], next: check}
  check: {collect: [sure], next: [{if: slots.sure, to: done}, {to: ask, clear: [guests]}]}
  done: {end: true}
"""
ORDER = """
slots:
  order:
    type: list
    more: Anything else?
    items:
      type: object
      fields:
        dish: {type: enum, values: [soup, cake], ask: Soup or cake?}
        count: {type: integer, min: 1, max: 9, ask: How many?}
        note: {type: string, required: false}
  ages: {type: list, items: {type: integer, min: 0, max: 17}, ask: How old are the children?}
states:
  ask: {collect: [order, ages], next: done}
  done: {say: "{order}; {ages}", end: true}
"""


def drafts(talk):
    return dict(talk.snapshot.frames[-1].drafts)


class TestDatetimes:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(VISIT))

    @pytest.mark.parametrize(
        ("text", "when"),
        [
            ("tomorrow at 7pm", "2026-11-25T19:00"),
            ("2026-11-28 08:15", "2026-11-28T08:15"),
            ("in two hours", "2026-11-24T12:00"),
            ("half an hour from now", "2026-11-24T10:30"),
            ("right now", "2026-11-24T10:00"),
            ("today at 8", "2026-11-24T20:00"),
            ("明晚七点半", "2026-11-25T19:30"),
            ("两个小时后", "2026-11-24T12:00"),
            ("现在", "2026-11-24T10:00"),
        ],
    )
    def test_a_day_and_a_time_in_one_message_are_one_value(self, talk, text, when):
        talk.say(text)
        assert talk.commands == [("set_slot", "when", when, True)]
        assert dict(talk.slots) == {"when": when}

    def test_the_other_half_is_asked_for(self, talk):
        assert talk.say("tomorrow").replies == ["At what time?"]
        assert dict(talk.slots) == {}
        assert drafts(talk) == {"when": {"date": "2026-11-25"}}
        assert talk.say("7pm").replies == ["Why?"]
        assert dict(talk.slots) == {"when": "2026-11-25T19:00"}
        assert drafts(talk) == {}

    def test_the_halves_may_come_in_any_order_and_in_chinese(self, talk):
        assert talk.say("晚上七点").replies == ["哪一天呢？"]
        assert talk.say("后天").replies == ["为什么？"]
        assert dict(talk.slots) == {"when": "2026-11-26T19:00"}

    def test_a_half_is_corrected_before_and_after_the_whole_is_there(self, talk):
        talk.say("tomorrow").say("no, on friday").say("7pm")
        assert dict(talk.slots) == {"when": "2026-11-27T19:00"}
        talk.say("because").say("actually at 8")
        assert talk.commands == [("correct_slot", "when.time", "20:00", True)]
        assert talk.replies == ["On Friday, 27 November 2026 at 20:00."]

    def test_a_half_is_taken_back_and_asked_for_alone(self, talk):
        talk.say("tomorrow at 7pm").say("because").say("change the time")
        assert talk.replies == ["At what time?"]
        assert "when" not in talk.slots
        assert talk.say("9pm").replies == ["On Wednesday, 25 November 2026 at 21:00."]

    def test_halves_that_do_not_go_together_are_asked_for_anew(self, talk):
        talk.say("today").say("9am")
        assert talk.commands == [("set_slot", "when.time", "09:00", False)]
        assert talk.replies == ["The when must not be before Tuesday, 24 November 2026 at 10:00. When?"]
        assert drafts(talk) == {}

    def test_a_correction_that_does_not_fit_leaves_the_value_as_it_was(self, talk):
        talk.say("tomorrow at 7pm").say("because").say("actually on 2027-01-01")
        assert talk.replies[0] == "The when must not be after Tuesday, 1 December 2026 at 10:00."
        assert talk.slots["when"] == "2026-11-25T19:00"

    def test_two_days_are_asked_back(self, talk):
        talk.say("monday or tuesday at 5pm")
        assert talk.replies[0] == "Is it Monday, 30 November 2026 or Tuesday, 1 December 2026?"
        assert drafts(talk) == {"when": {"time": "17:00"}}

    def test_a_draft_outlives_a_digression_and_a_restart(self, talk):
        talk.say("tomorrow").say("what are your opening hours?")
        stored = json.loads(json.dumps(talk.snapshot.to_json()))
        talk.snapshot = Snapshot.from_json(stored, talk.flows)
        assert talk.say("7pm").slots["when"] == "2026-11-25T19:00"

    def test_a_snapshot_whose_flow_has_no_such_part_is_refused(self, talk):
        stored = talk.say("tomorrow").snapshot.to_json()
        stored["frames"][0]["places"][0]["asked"] = "when.zone"
        with pytest.raises(SnapshotInvalid, match=r"when\.zone"):
            Snapshot.from_json(stored, library(compiled(VISIT)).get)


class TestObjects:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(ADDRESS))

    def test_the_fields_are_asked_for_in_order_after_the_words_of_the_object(self, talk):
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

    def test_an_optional_field_that_is_half_known_is_asked_for(self, talk):
        talk.say("Main Street").say("12, since 2026-11-23")
        assert talk.replies == ["At what time?"]
        talk.say("9am")
        assert talk.slots["address"]["since"] == "2026-11-23T09:00"

    def test_a_field_that_does_not_fit_is_refused_by_its_own_name(self, talk):
        talk.say("Main Street").say("0")
        assert talk.replies == ["The number must be at least 1. Which number?"]
        assert drafts(talk) == {"address": {"street": "Main Street"}}

    def test_a_field_is_corrected_alone(self, talk):
        talk.say("Main Street").say("12").say("change the street")
        assert talk.replies == ["Which street?"]
        talk.say("High Street")
        assert talk.slots["address"] == {"street": "High Street", "number": 12}


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

    def test_yes_asks_the_first_question_again(self, talk):
        assert talk.say("Ann, Bob").say("yes").replies == ["Who comes?"]
        assert talk.say("Carol").say("no").slots["guests"] == ["Ann", "Bob", "Carol"]

    def test_too_few_items_are_asked_on(self, talk):
        assert talk.say("Ann").replies == ["Who comes?"]
        assert talk.say("no").replies == ["At least 2 are needed here. Who comes?"]
        assert talk.say("Bob").replies == ["Who else?"]

    def test_as_many_as_there_may_be_are_the_list(self, talk):
        assert talk.say("Ann, Bob, Carol, Dave").replies == ["Ann, Bob, Carol and Dave?"]

    def test_more_than_there_may_be_are_refused(self, talk):
        assert talk.say("A, B, C, D and E").replies == ["No more than 4 are possible here. Who comes?"]

    def test_an_item_is_taken_off_while_it_grows_and_later(self, talk):
        talk.say("Ann, Bob, Carol").say("without Bob")
        assert drafts(talk) == {"guests": {"items": ["Ann", "Carol"]}}
        talk.say("Dave").say("no").say("remove Ann, please")
        assert talk.commands == [("correct_slot", "guests", ["Carol", "Dave"], True)]
        assert talk.replies == ["Carol and Dave?"]

    def test_an_item_said_twice_is_there_once(self, talk):
        talk.say("Ann, Bob").say("and Ann")
        assert drafts(talk) == {"guests": {"items": ["Ann", "Bob"]}}

    def test_it_is_told_in_chinese_too(self, talk):
        assert talk.say("李雷和小王").replies == ["还有谁？"]
        assert talk.say("再加小李").say("不要小王").replies == ["还有谁？"]
        assert talk.say("就这些").replies == ["李雷和小李？"]

    def test_what_is_forgotten_is_forgotten_with_its_draft(self, talk):
        talk.say("Ann, Bob").say("no").say("no")
        assert talk.replies == ["Who comes?"]
        assert (dict(talk.slots).get("guests"), drafts(talk)) == (None, {})


class TestListsOfObjects:
    @pytest.fixture
    def talk(self):
        return Talk.about(compiled(ORDER))

    def test_items_are_put_together_one_at_a_time(self, talk):
        assert talk.replies == ["Soup or cake?"]
        assert talk.say("soup").replies == ["How many?"]
        assert talk.say("2").replies == ["Anything else?"]
        assert talk.say("yes").replies == ["Soup or cake?"]
        assert talk.say("3 times cake").replies == ["How many?"]
        assert talk.say("3").say("no").replies == ["How old are the children?"]
        assert talk.slots["order"] == [{"dish": "soup", "count": 2}, {"dish": "cake", "count": 3}]

    def test_numbers_that_are_said_twice_are_two(self, talk):
        talk.say("soup").say("2").say("no").say("7 and 7")
        assert talk.slots["ages"] == [7, 7]
        assert talk.replies == ["soup, 2; 7 and 7"]

    def test_once_it_is_whole_nothing_else_that_is_said_begins_an_item(self, talk):
        talk.say("soup").say("2").say("no").say("the cake is 7")
        assert talk.slots["order"] == [{"dish": "soup", "count": 2}]
        assert drafts(talk) == {}


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

    def test_it_gives_some_fields_of_an_object(self):
        body = ADDRESS.replace("ask: {collect", "ask: {model: chat, collect")
        talk = Talk.about(compiled(f"{body}understanding: {{when: always}}"))
        talk.say("hm, no idea").means(("set_slot", {"slot": "address", "value": {"number": 7}}))
        assert drafts(talk) == {"address": {"number": 7}}
        assert talk.replies == ["Which street?"]
