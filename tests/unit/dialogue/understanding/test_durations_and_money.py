"""Durations and sums of money in English and Chinese: extracted, validated, formatted, given by callers."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.loader import validate_flow
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError, validate_slots
from hypothesis import given
from hypothesis import strategies as st

from tests.support.flows import Talk, compiled

HIRE = """
locales: [en, zh]
slots:
  stay: {type: duration, min: 30m, max: 3d, ask: {en: For how long?, zh: 多久？}, called: {en: stay, zh: 时长}}
  price: {type: money, currencies: [EUR, CNY], min: 1, max: 500, ask: {en: How much?, zh: 多少钱？}, called: {en: price, zh: 价格}}
  n: {type: integer, hints: {en: [people], zh: [位]}, ask: {en: How many?, zh: 几位？}}
states:
  ask: {collect: [stay, price], next: [{if: "slots.stay > 2 * 3600 && slots.price.amount > 100.0", to: much}, {to: done}]}
  much: {say: {en: "{stay} for {price}, much.", zh: "{stay}{price}，多。"}, end: true}
  done: {say: {en: "{stay} for {price}.", zh: "{stay}{price}。"}, end: true}
interrupts: {allow: []}
"""  # noqa: E501 - a flow
FLOW = compiled(HIRE)


@pytest.mark.parametrize(
    ("text", "stay", "price"),
    [
        ("2 hours", 7200, None),
        ("an hour and a half", 5400, None),
        ("1 hour 30 minutes", 5400, None),
        ("half an hour for 30 euros", 1800, {"amount": 30.0, "currency": "EUR"}),
        ("two days, €20.50", 172_800, {"amount": 20.5, "currency": "EUR"}),
        ("2 hours, 100 yuan, 4 people", 7200, {"amount": 100.0, "currency": "CNY"}),
        ("three quarters of an hour", 2700, None),
        ("2 hours for 20 euros and 50 cents", 7200, {"amount": 20.5, "currency": "EUR"}),
        ("€0.2k, an hour and three quarters", 6300, {"amount": 200.0, "currency": "EUR"}),
        ("两个半小时", 9000, None),
        ("一小时三刻，二十块五", 6300, {"amount": 20.5, "currency": "CNY"}),
        ("30分钟，30元", 1800, {"amount": 30.0, "currency": "CNY"}),
        ("in 3 days", None, None),
        ("25", None, None),
    ],
)
def test_durations_and_sums_are_found_anywhere(text, stay, price):
    slots = Talk.about(FLOW).say(text).slots
    assert (slots.get("stay"), slots.get("price")) == (stay, price)


def test_a_bare_number_is_a_sum_if_one_was_asked_for():
    talk = Talk.about(FLOW).say("1 hour").say("25")
    assert talk.slots["price"] == {"amount": 25.0, "currency": "EUR"}
    assert talk.replies == ["1 hour for 25 EUR."]


@pytest.mark.parametrize(("text", "counted"), [("2 million people", 2_000_000), ("一百二十万位", 1_200_000)])
def test_a_large_number_is_one_number(text, counted):
    assert Talk.about(FLOW, slots={"stay": 3600}).say(text).slots["n"] == counted


EITHER = compiled("""
    slots: {stay: {type: duration, ask: How long?}, at: {type: time, ask: When?}}
    states: {ask: {collect: [stay, at], next: done}, done: {say: "{stay} at {at}.", end: true}}
    """)


@pytest.mark.parametrize(
    ("known", "text", "slots"),
    [
        ({}, "1h30", {"stay": 5400}),
        ({"stay": 60}, "19h30", {"stay": 60, "at": "19:30"}),
        ({"stay": 60}, "no, 1h30m", {"stay": 5400}),
    ],
)
def test_ambiguous_hours_and_minutes_are_what_was_asked_for(known, text, slots):
    assert Talk.about(EITHER, slots=known).say(text).slots == slots


def test_guards_compare_them():
    assert Talk.about(FLOW).say("3 hours").say("200 euros").replies == ["3 hours for 200 EUR, much."]
    assert Talk.about(FLOW).say("三小时").say("200元").replies == ["3小时200元，多。"]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("5 minutes", "The stay must be at least 30 minutes."),
        ("a week", "The stay must be at most 3 days."),
        ("1 hour for 1000 euros", "The price must be at most 500."),
        ("1 hour for 20 dollars", "The price must be in EUR, CNY."),
        ("5分钟", "30分钟"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_the_bound(text, refusal):
    assert refusal in Talk.about(FLOW).say(text).replies[0]


@pytest.mark.parametrize(
    ("currencies", "text", "price"),
    [
        ("[CAD]", "20 dollars", {"amount": 20.0, "currency": "CAD"}),
        ("[EUR, AUD]", "20 dollars and 50 cents", {"amount": 20.5, "currency": "AUD"}),
        ("[CAD, USD]", "$20", {"amount": 20.0, "currency": "USD"}),
        ("[]", "20 dollars", {"amount": 20.0, "currency": "USD"}),
        ("[PHP]", "1,000 pesos", {"amount": 1000.0, "currency": "PHP"}),
        ("[EGP]", "20 pounds", {"amount": 20.0, "currency": "EGP"}),
        ("[TWD]", "三百元", {"amount": 300.0, "currency": "TWD"}),
        ("[JPY]", "¥300", {"amount": 300.0, "currency": "JPY"}),
        ("[CAD]", "20 us dollars", None),
    ],
)
def test_an_ambiguous_currency_is_resolved_by_the_slot(currencies, text, price):
    flow = compiled(
        f"""
        locales: [en, zh]
        slots: {{price: {{type: money, currencies: {currencies}, ask: {{en: How much?, zh: 多少？}}}}}}
        states: {{a: {{collect: [price], next: b}}, b: {{end: true}}}}
        """
    )
    assert Talk.about(flow).say(text).slots.get("price") == price


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ({"stay": 5400.0}, {"stay": 5400}),
        ({"price": 20}, {"price": {"amount": 20.0, "currency": "EUR"}}),
        ({"price": {"amount": 0.1 + 1.2, "currency": "CNY"}}, {"price": {"amount": 1.3, "currency": "CNY"}}),
    ],
)  # fmt: skip
def test_callers_give_them_as_json(given_, kept):
    assert validate_slots(FLOW, given_) == kept


@pytest.mark.parametrize(
    "given_",
    [
        {"stay": "2h"}, {"stay": -1}, {"stay": True}, {"stay": float("inf")}, {"price": "twenty"},
        {"price": {"amount": 20, "currency": "euro"}}, {"price": {"amount": 20, "currency": "USD"}},
        {"price": {"amount": 20, "tip": 1}}, {"price": {"currency": "EUR"}}, {"price": float("nan")},
        {"price": True},
    ],
)  # fmt: skip
def test_invalid_values_are_refused(given_):
    with pytest.raises(SlotValidationError):
        validate_slots(FLOW, given_)


@pytest.mark.parametrize(
    "slot",
    [
        "{type: duration, min: 5}", "{type: duration, min: 2h, max: 1h}", "{type: date, currencies: [EUR]}",
        "{type: money, min: 30m}", "{type: integer, currencies: [EUR]}", "{type: money, currencies: [euro]}",
    ],
)  # fmt: skip
def test_invalid_options_are_reported(slot):
    source = f"flow: f\nversion: 1\nslots: {{x: {slot}}}\nstates: {{a: {{collect: [x]}}}}\n"
    assert validate_flow(source, "f.yaml").flow is None


@given(text=st.text(max_size=60) | st.text(alphabet="0123456789.,€$¥ hourmin元小时半两", max_size=30))
def test_any_text_gives_valid_values(text):
    for slot, value in Talk.about(FLOW).say(text).slots.items():
        assert FLOW.slots[slot].check(value, None) == value
