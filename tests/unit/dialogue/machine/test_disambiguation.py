"""A message that may be about several things is understood as people mean it."""

from __future__ import annotations

import pytest

from tests.support.composite_flows import ADDRESS, GUESTS, conversation, drafts


class TestDisambiguation:
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
        talk = conversation(self.TRIP, "tomorrow at 9am", "friday at 6pm", text)
        assert talk.slots["pickup"] == "2026-11-25T09:00"
        assert talk.slots["back"] == "2026-11-29T18:00"

    def test_values_go_to_the_nearest_named_slots(self):
        talk = conversation(self.TRIP, "return on sunday at 5pm, pick-up tomorrow at 9am")
        assert dict(talk.slots) == {"pickup": "2026-11-25T09:00", "back": "2026-11-29T17:00"}

    def test_an_invalid_answer_fills_no_other_slot(self):
        talk = conversation(self.TRIP, "tomorrow at 9am", "in 90 minutes")
        assert talk.slots["pickup"] == "2026-11-25T09:00"
        assert talk.replies[0].startswith("The return must not be before")

    def test_a_bare_correction_is_for_the_time_and_not_for_a_list_of_numbers(self):
        talk = conversation(self.PARTY, *self.BEFORE, "make it 8 instead")
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
    def test_a_list_can_be_edited_later(self, text, guests, tops):
        talk = conversation(self.PARTY, *self.BEFORE, text)
        assert (talk.slots["guests"], talk.slots["tops"]) == (guests, tops)

    def test_removing_required_items_asks_for_them_again(self):
        talk = conversation(self.PARTY, *self.BEFORE, "without Ann and Bob")
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
    def test_a_slot_with_a_maximum_of_today_prefers_past_dates(self, text, day, at):
        body = """
        slots:
          day: {type: date, max: today, ask: Which day?}
          at: {type: datetime, max: now, ask: And when?}
        states: {a: {collect: [day, at], next: b}, b: {end: true}}
        """
        talk = conversation(body, text, at or "")
        assert talk.slots["day"] == day
        assert talk.slots.get("at") == (at and "2026-11-24T08:00")

    def test_a_free_text_edits_no_list(self):
        talk = conversation(self.PARTY, *self.BEFORE[:-1], "No nuts for Ann")
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
    def test_an_item_may_start_like_a_yes_or_no(self, text, guests):
        talk = conversation(self.PARTY, "5", "none", "Ann", text)
        assert drafts(talk)["guests"]["items"] == guests

    @pytest.mark.parametrize("text", ["that's it", "no thanks", "that's everyone", "nobody else", "done"])
    def test_phrases_that_complete_a_list(self, text):
        assert conversation(self.PARTY, "5", "none", "Ann", text).slots["guests"] == ["Ann"]

    @pytest.mark.parametrize("text", ["...", "not sure yet", "hm?"])
    def test_a_message_without_values_is_not_understood(self, text):
        talk = conversation(GUESTS.replace("{type: string}", "{type: email}"), text)
        assert talk.replies[0].startswith("Sorry, I did not understand that.")

    def test_a_text_is_changed_to_the_given_value(self):
        talk = conversation(ADDRESS, "Main Street", "12", "change the street to High Street, please")
        assert talk.slots["address"] == {"street": "High Street", "number": 12}

    def test_a_new_part_does_not_repeat_a_call_with_effect_once(self):
        body = ADDRESS.replace("collect: [address, pets], next: done", "collect: [address], next: work")
        body = body.replace(
            "  done:",
            "  work: {call: {tool: t, args: {}, effect: once}, next: [{to: more}]}\n"
            "  more: {collect: [pets], next: done}\n  done:",
        )
        talk = conversation(body, "Main Street", "12").returns({})
        talk.say("upper floor")
        assert talk.commands == [("set_slot", "address.floor", "upper", False)]
        assert "floor" not in talk.slots["address"]

    def test_half_an_optional_datetime_does_not_drop_the_value(self):
        talk = conversation(ADDRESS, "Main Street", "12", "at 7pm")
        assert talk.slots["address"] == {"street": "Main Street", "number": 12}
