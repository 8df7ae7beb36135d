"""Values that come together over several messages: datetimes, objects and lists."""

from __future__ import annotations

import json
from textwrap import dedent
from unittest.mock import ANY

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

    def test_two_times_are_asked_back(self, talk):
        assert talk.say("monday at 5 or 6").replies[0] == "Is it 17:00 or 18:00?"
        assert drafts(talk) == {"when": {"date": "2026-11-30"}}

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
def test_a_stored_value_that_is_damaged_is_refused(body, slots, stored):
    snapshot = json.loads(json.dumps(Talk.about(compiled(body)).snapshot.to_json()))
    snapshot["frames"][0] |= {"slots": slots, "drafts": stored}
    with pytest.raises(SnapshotInvalid, match=r"what is known of|drafts"):
        Snapshot.from_json(snapshot, library(compiled(body)).get)


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
        assert talk.say("no").replies == ["The list of guests needs at least 2. Who comes?"]
        assert talk.say("Bob").replies == ["Who else?"]

    def test_as_many_as_there_may_be_are_the_list(self, talk):
        assert talk.say("Ann, Bob, Carol, Dave").replies == ["Ann, Bob, Carol and Dave?"]

    def test_more_than_there_may_be_are_refused(self, talk):
        assert talk.say("A, B, C, D and E").replies == [
            "The list of guests cannot have more than 4. Who comes?"
        ]

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


def spoken(body, *lines, slots=None):
    """The conversation after some lines."""
    talk = Talk.about(compiled(body), slots=slots)
    for line in lines:
        talk.say(line)
    return talk


class TestWhatIsMeant:
    """Of several things that a message may be about, the one that people mean."""

    TRIP = """
    slots:
      pickup: {type: datetime, called: pick-up, ask: Pick-up when?}
      back: {type: datetime, called: return, min: now+1d, ask: Return when?}
      sure: {type: boolean, fill: asked_only, ask: Sure?}
    states:
      ask: {collect: [pickup, back], next: check}
      check: {collect: [sure], next: [{if: slots.sure, to: done}, {to: ask}]}
      done: {end: true}
    """
    PARTY = """
    slots:
      ages: {type: list, items: {type: integer, max: 17}, ask: Ages?}
      tops: {type: list, items: {type: enum, values: [ham, olives, corn]}, min_items: 0, ask: Toppings?}
      guests: {type: list, items: {type: string}, ask: Who?, more: Else?}
      at: {type: datetime, ask: When?}
      note: {type: string, ask: A note?}
      sure: {type: boolean, fill: asked_only, ask: Sure?}
    states:
      ask: {collect: [ages, tops, guests, at, note], next: check}
      check: {collect: [sure], next: [{if: slots.sure, to: done}, {to: ask}]}
      done: {end: true}
    """
    BEFORE = ("5, 7 and 9", "ham and olives", "Ann and Bob", "no", "tomorrow at 7pm", "none")

    @pytest.mark.parametrize("text", ["change the return to sunday", "the return on sunday, please"])
    def test_a_correction_is_for_the_slot_that_it_names(self, text):
        talk = spoken(self.TRIP, "tomorrow at 9am", "friday at 6pm", text)
        assert talk.slots["pickup"] == "2026-11-25T09:00"
        assert talk.slots["back"] == "2026-11-29T18:00"

    def test_values_go_to_the_slots_beside_them(self):
        talk = spoken(self.TRIP, "return on sunday at 5pm, pick-up tomorrow at 9am")
        assert dict(talk.slots) == {"pickup": "2026-11-25T09:00", "back": "2026-11-29T17:00"}

    def test_an_answer_that_does_not_fit_is_for_nothing_else(self):
        talk = spoken(self.TRIP, "tomorrow at 9am", "in 90 minutes")
        assert talk.slots["pickup"] == "2026-11-25T09:00"
        assert talk.replies[0].startswith("The return must not be before")

    def test_a_bare_correction_is_for_the_time_and_not_for_a_list_of_numbers(self):
        talk = spoken(self.PARTY, *self.BEFORE, "make it 8 instead")
        assert (talk.slots["at"], talk.slots["ages"]) == ("2026-11-25T20:00", [5, 7, 9])

    @pytest.mark.parametrize(
        ("text", "guests", "tops"),
        [
            ("also Dave", ["Ann", "Bob", "Dave"], ["ham", "olives"]),
            ("without bob", ["Ann"], ["ham", "olives"]),
            ("drop the olives", ["Ann", "Bob"], ["ham"]),
            ("also corn", ["Ann", "Bob"], ["ham", "olives", "corn"]),
            ("without ham and olives", ["Ann", "Bob"], []),
            ("Carol Olives", ["Ann", "Bob"], ["ham", "olives"]),
        ],
    )
    def test_a_list_is_edited_later(self, text, guests, tops):
        talk = spoken(self.PARTY, *self.BEFORE, text)
        assert (talk.slots["guests"], talk.slots["tops"]) == (guests, tops)

    def test_the_last_item_that_is_needed_is_asked_for_anew(self):
        talk = spoken(self.PARTY, *self.BEFORE, "without Ann and Bob")
        assert talk.replies == ["Who?"]

    @pytest.mark.parametrize(
        ("text", "day", "at"),
        [
            ("monday", "2026-11-23", None),
            ("20 November", "2026-11-20", None),
            ("12 May 1990", "1990-05-12", None),
            ("last friday", "2026-11-20", "two hours ago"),
        ],
    )
    def test_a_slot_that_takes_no_later_day_is_for_the_past(self, text, day, at):
        body = """
        slots:
          day: {type: date, max: today, ask: Which day?}
          at: {type: datetime, max: now, ask: And when?}
        states: {a: {collect: [day, at], next: b}, b: {end: true}}
        """
        talk = spoken(body, text, at or "")
        assert talk.slots["day"] == day
        assert talk.slots.get("at") == (at and "2026-11-24T08:00")

    def test_a_free_text_edits_no_list(self):
        talk = spoken(self.PARTY, *self.BEFORE[:-1], "No nuts for Ann")
        assert (talk.slots["guests"], talk.slots["note"]) == (["Ann", "Bob"], "No nuts for Ann")

    @pytest.mark.parametrize(
        ("text", "guests"),
        [
            ("yes, Dave", ["Ann", "Dave"]),
            ("ok, Bob", ["Ann", "Bob"]),
            ("Great Aunt May", ["Ann", "Great Aunt May"]),
            ("Na Li", ["Ann", "Na Li"]),
            ("no, add Carol", ["Ann", "Carol"]),
        ],
    )
    def test_an_item_may_begin_as_yes_or_no_do(self, text, guests):
        talk = spoken(self.PARTY, "5", "none", "Ann", text)
        assert drafts(talk)["guests"]["items"] == guests

    @pytest.mark.parametrize("text", ["that's it", "no thanks", "that's everyone", "nobody else", "done"])
    def test_a_list_is_over(self, text):
        assert spoken(self.PARTY, "5", "none", "Ann", text).slots["guests"] == ["Ann"]

    @pytest.mark.parametrize("text", ["...", "not sure yet", "hm?"])
    def test_what_names_nothing_is_not_understood(self, text):
        talk = spoken(GUESTS.replace("{type: string}", "{type: email}"), text)
        assert talk.replies[0].startswith("Sorry, I did not understand that.")

    def test_a_text_is_changed_to_what_is_said(self):
        talk = spoken(ADDRESS, "Main Street", "12", "change the street to High Street, please")
        assert talk.slots["address"] == {"street": "High Street", "number": 12}

    def test_a_call_that_is_made_once_is_not_corrected_by_a_new_part(self):
        body = ADDRESS.replace("collect: [address, pets], next: done", "collect: [address], next: work")
        body = body.replace(
            "  done:",
            "  work: {call: {tool: t, args: {}, effect: once}, next: [{to: more}]}\n"
            "  more: {collect: [pets], next: done}\n  done:",
        )
        talk = spoken(body, "Main Street", "12").returns({})
        talk.say("upper floor")
        assert talk.commands == [("set_slot", "address.floor", "upper", False)]
        assert "floor" not in talk.slots["address"]

    def test_half_of_a_part_that_is_not_needed_takes_no_value_away(self):
        talk = spoken(ADDRESS, "Main Street", "12", "at 7pm")
        assert talk.slots["address"] == {"street": "Main Street", "number": 12}


class TestItemsWithParts:
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

    def test_moments_are_asked_for_until_there_are_enough(self):
        talk = spoken(self.VISITS, "monday at 5pm")
        assert talk.replies == ["When?"]
        assert talk.say("tuesday").replies == ["At what time?"]
        assert talk.say("6pm").replies == ["When else?"]
        assert talk.say("yes").replies == ["When?"]
        assert talk.say("no").slots["visits"] == ["2026-11-30T17:00", "2026-12-01T18:00"]

    @pytest.mark.parametrize("text", ["monday at 5pm and tuesday at 6pm", "周一下午五点和周二下午六点"])
    def test_one_message_names_several_moments(self, text):
        talk = spoken(
            f"locales: [en, zh]\n{dedent(self.VISITS)}".replace("ask: When?", "ask: {en: W, zh: 哪}")
            .replace("more: When else?", "more: {en: E, zh: 还}")
            .replace("ask: Ok?", "ask: {en: O, zh: 好}"),
            text,
        )
        assert drafts(talk)["visits"]["items"] == ["2026-11-30T17:00", "2026-12-01T18:00"]

    def test_two_days_for_one_item_are_asked_back(self):
        assert spoken(self.VISITS, "monday and tuesday at 5pm").replies[0].startswith("Is it Monday")

    def test_one_message_names_several_items(self):
        talk = spoken(self.LINES, "20 euros for lunch and 100 euros for the hotel").say("no")
        assert [(each["what"], each["price"]["amount"]) for each in talk.slots["lines"]] == [
            ("lunch", 20.0),
            ("hotel", 100.0),
        ]
        assert talk.replies == ["lunch, 20 EUR; hotel, 100 EUR. Ok?"]

    def test_items_that_cannot_be_told_apart_are_asked_back(self):
        assert spoken(self.LINES, "lunch and hotel").replies == ["Is it lunch or hotel? For what?"]

    def test_what_fits_of_an_item_is_kept(self):
        talk = spoken(self.LINES, "a taxi for 9000 euros")
        assert talk.replies == ["The price must be at most 500. How much?"]
        assert drafts(talk) == {"lines": {"next": {"what": "taxi"}}}

    def test_a_part_that_does_not_fit_as_a_whole_is_forgotten_alone(self):
        talk = spoken(self.LINES, "20 euros lunch", "tomorrow at 9am, taxi")
        assert talk.replies[0].startswith("The day must not be after")
        assert drafts(talk) == {"lines": {"items": ANY, "next": {"what": "taxi"}}}

    @pytest.mark.parametrize("text", ["none", "nothing", "no"])
    def test_a_list_that_may_be_empty_is(self, text):
        assert spoken(self.LINES, text).slots["lines"] == []

    def test_one_who_wanted_another_may_think_again(self):
        talk = spoken(self.LINES, "20 euros lunch", "yes", "that's all")
        assert len(talk.slots["lines"]) == 1

    @pytest.mark.parametrize("before", [(), ("no",)])
    def test_an_item_is_taken_off_by_its_parts(self, before):
        lines = ("20 euros lunch", "100 euros hotel", *before, "without the hotel", *("no",) * (not before))
        assert [each["what"] for each in spoken(self.LINES, *lines).slots["lines"]] == ["lunch"]

    def test_an_item_is_added_later(self):
        talk = spoken(self.LINES, "20 euros lunch", "no", "also a taxi for 5 euros")
        assert [each["what"] for each in talk.slots["lines"]] == ["lunch", "taxi"]


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
