"""Currencies are those of ISO 4217, and sums have the digits of their currency."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.loader import validate_flow
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError, validate_slots
from clawdbot_dialogue.core.language.currencies import (
    CODES,
    DOLLARS,
    FRANCS,
    PESOS,
    POUNDS,
    RUPEES,
    SYMBOLS,
    fraction_digits,
)
from clawdbot_dialogue.core.language.language_registry import installed_languages, load_language_pack
from clawdbot_dialogue.core.language.normalization import normalize
from hypothesis import given
from hypothesis import strategies as st

from tests.support.flows import Talk, compiled

ANY = compiled("""
locales: [en, zh]
slots: {price: {type: money, ask: {en: How much?, zh: 多少钱？}}}
states:
  ask: {collect: [price], next: done}
  done: {say: {en: "That is {price}.", zh: "{price}。"}, end: true}
""")


def stored(price):
    return validate_slots(ANY, {"price": price})["price"]


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (30.5, "EUR", 30.5),
        (30.555, "EUR", 30.56),
        (2.675, "EUR", 2.68),
        (0.1 + 0.2, "USD", 0.3),
        (1000.4, "JPY", 1000.0),
        (1000.5, "JPY", 1001.0),
        (1.2345, "KWD", 1.235),
        (1.2345, "CLF", 1.2345),
        (-0.001, "EUR", 0.0),
        ("30.50", "EUR", 30.5),
        ("-12", "EUR", -12.0),
    ],
)
def test_a_sum_is_rounded_to_the_digits_of_its_currency(amount, currency, expected):
    assert stored({"amount": amount, "currency": currency}) == {"amount": expected, "currency": currency}


@pytest.mark.parametrize(
    "price",
    [
        {"amount": 5, "currency": "ZZZ"},
        {"amount": 5, "currency": "XAU"},
        {"amount": 5, "currency": "XXX"},
        {"amount": 5, "currency": "eur"},
        {"amount": 5, "currency": 978},
        {"amount": 5},
        {"amount": "5 EUR", "currency": "EUR"},
        {"amount": "5,50", "currency": "EUR"},
        {"amount": "nan", "currency": "EUR"},
        {"amount": "1e3", "currency": "EUR"},
        {"amount": "٣", "currency": "EUR"},
        {"amount": "9999999999999999", "currency": "EUR"},
        {"amount": "", "currency": "EUR"},
        "30.50",
    ],
)
def test_an_invalid_sum_is_refused(price):
    with pytest.raises(SlotValidationError):
        stored(price)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("30.5 euros", "That is 30.50 EUR."),
        ("30 euros", "That is 30 EUR."),
        ("1500.4 yen", "That is 1,500 JPY."),
        ("1.25 KWD", "That is 1.250 KWD."),
        ("三十块五", "30.50元。"),
        ("1.25科威特第纳尔", "1.250科威特第纳尔。"),
        ("一千五百日元", "1,500日元。"),
    ],
)
def test_a_sum_is_formatted_with_the_digits_of_its_currency(text, reply):
    assert Talk.about(ANY).say(text).replies == [reply]


@pytest.mark.parametrize(
    ("code", "hint"),
    [("ZZZ", "Available: AED, ARS, "), ("EUX", 'Did you mean "EUR"?'), ("RMB", 'Did you mean "CNY"?')],
)
def test_an_unknown_currency_is_reported_with_its_position(code, hint):
    source = (
        "flow: f\nversion: 1\n"
        f"slots: {{price: {{type: money, currencies: [GBP, {code}]}}}}\n"
        "states: {a: {collect: [price]}}\n"
    )
    examined = validate_flow(source, "f.yaml")
    (fault,) = [each for each in examined.diagnostics if each.code == "bad-slot"]
    assert examined.flow is None
    assert (fault.line, fault.column) == (3, source.split("\n")[2].index(code) + 1)
    assert code in fault.message
    assert fault.hint.startswith(hint)


def test_every_name_symbol_and_code_is_of_a_real_currency():
    known = {*CODES.values(), *SYMBOLS.values(), *DOLLARS, *POUNDS, *PESOS, *RUPEES, *FRANCS}
    assert known <= fraction_digits().keys()


@given(
    name=st.sampled_from(list(installed_languages())),
    code=st.sampled_from(sorted(set(CODES.values()))),
    units=st.integers(0, 10**11),
)
def test_a_formatted_sum_is_understood_again(name, code, units):
    language, value = load_language_pack(name), units / 10 ** fraction_digits()[code]
    text = language.normalize_numerals(normalize(language.format_money(value, code)))
    (found,) = language.money(text)
    assert (found.value[0], found.value[1][0]) == (value, code)
