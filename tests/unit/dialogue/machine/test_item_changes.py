"""An item of a list is identified by its parts, and changed."""

from __future__ import annotations

import pytest

from tests.support.flows import Talk, compiled

FLOWS = {
    language: compiled(
        f"""
        locale: {language}
        slots:
          order:
            type: list
            min_items: 1
            ask: What?
            items:
              type: object
              fields:
                size: {{type: enum, values: {{small: [小杯], large: [大杯]}}}}
                kind: {{type: enum, values: {{milk: [milk tea, 奶茶], green: [green tea, 绿茶], black: []}}}}
          when: {{type: time, ask: When?}}
        states:
          a: {{collect: [order, when], next: [{{to: b}}]}}
          b: {{end: true}}
        """,
        language,
    )
    for language in ("en", "zh")
}
ORDERS = {"en": "a large milk tea and a small green tea", "zh": "一杯大杯奶茶和一杯小杯绿茶"}


def order(talk):
    return [f"{each['size']} {each['kind']}" for each in talk.snapshot.slots["order"]]


@pytest.mark.parametrize(
    ("language", "text", "after"),
    [
        ("en", "make the green tea large", ["large milk", "large green"]),
        ("en", "change the milk tea to small", ["small milk", "small green"]),
        ("en", "could you swap the milk tea for a black tea", ["large black", "small green"]),
        ("en", "make the large milk tea a small black tea", ["small black", "small green"]),
        ("en", "the green one should be large", ["large milk", "large green"]),
        ("en", "make it large", ["large milk", "large green"]),
        ("en", "make both small", ["small milk", "small green"]),
        ("en", "make it black", ["large milk", "small black"]),
        ("zh", "绿茶换成大杯", ["large milk", "large green"]),
        ("zh", "把奶茶改成小杯", ["small milk", "small green"]),
        ("zh", "那个改成大杯", ["large milk", "large green"]),
        ("zh", "全部改成小杯", ["small milk", "small green"]),
    ],
)
def test_an_item_is_changed(language, text, after):
    talk = Talk.about(FLOWS[language]).say(ORDERS[language])
    assert order(talk) == ["large milk", "small green"]
    assert order(talk.say(text)) == after


@pytest.mark.parametrize(
    "text",
    ["make the tea nicer", "make the black tea large", "make the milk tea small and the green tea large",
     "make it 2", "change the date"],
)  # fmt: skip
def test_an_unclear_change_is_ignored(text):
    talk = Talk.about(FLOWS["en"]).say(ORDERS["en"]).say(text)
    assert order(talk) == ["large milk", "small green"]


def test_an_ambiguous_item_is_not_changed():
    talk = Talk.about(FLOWS["en"]).say("a large milk tea and a small milk tea").say("make the milk tea large")
    assert order(talk) == ["large milk", "small milk"]


def test_other_values_in_the_message_are_extracted_too():
    talk = Talk.about(FLOWS["en"]).say(ORDERS["en"]).say("make the green tea large, at 7pm")
    assert order(talk) == ["large milk", "large green"]
    assert talk.snapshot.slots["when"] == "19:00"


@pytest.mark.parametrize("text", ["cancel the green tea", "drop the small one"])
def test_an_item_is_removed_and_the_order_continues(text):
    talk = Talk.about(FLOWS["en"]).say(ORDERS["en"]).say(text)
    assert talk.snapshot.status == "active"
    assert order(talk) == ["large milk"]


def test_a_number_that_another_slot_counts_is_not_a_sum():
    flow = compiled("""
    slots: {amount: {type: money, currencies: [USD], ask: How much?}, years: {type: integer, hints: [years]}}
    states: {a: {collect: [amount, years], next: [{to: b}]}, b: {end: true}}
    """)
    talk = Talk.about(flow).say("200k over 20 years")
    assert talk.snapshot.slots == {"amount": {"amount": 200_000.0, "currency": "USD"}, "years": 20}
