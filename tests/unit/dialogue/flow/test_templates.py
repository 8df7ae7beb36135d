"""Texts with gaps are filled from the slots and results, and reach nothing else."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.templates import LONGEST_SHOWN, TemplateFault, parse_template, show_json
from hypothesis import given
from hypothesis import strategies as st

SLOTS = {"name": "dyn", "event": "dyn"}


def filled(text, **scope):
    return parse_template(text, SLOTS).fill(
        scope, lambda _, value: show_json(value), lambda gap: f"<{gap.text}>"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plain", "plain"),
        ("Hello {name}!", "Hello Ada!"),
        ("Hello {slots.name}!", "Hello Ada!"),
        ("{ name }{name}", "AdaAda"),
        ("{{name}} and }}", "{name} and }"),
        ("{result.ref}", "T-1"),
        ("{result.rows.1.id}", "7"),
        ("{result.times}", "18:00, 20:30"),
        ("{result.price}", "12"),
        ("{result.deep}", '{"a": 1}'),
        ("{turn.date}", "2026-11-24"),
    ],
)
def test_a_gap_is_filled(text, words):
    result = {
        "ref": "T-1",
        "rows": [{}, {"id": 7}],
        "times": ["18:00", "20:30"],
        "price": 12.0,
        "deep": {"a": 1},
    }
    assert filled(text, slots={"name": "Ada"}, result=result, turn={"date": "2026-11-24"}) == words


@pytest.mark.parametrize(
    "text", ["{name}", "{result.ref}", "{result.rows.9}", "{result.rows.x}", "{result.ref.more}"]
)
def test_a_gap_without_a_value_is_told_rather_than_left(text):
    assert filled(text, slots={}, result={"rows": []}) == f"<{text[1:-1]}>"


def test_a_slot_goes_before_a_scope_of_the_same_name():
    assert filled("{event}", slots={"event": "wedding"}) == "wedding"


@pytest.mark.parametrize(
    "text", ["{", "}", "{name", "{}", "{name!r}", "{name.__class__}x{", "{a b}", "{0}", "{nmae}"]
)
def test_what_is_no_gap_is_refused(text):
    with pytest.raises(TemplateFault):
        parse_template(text, SLOTS)


def test_a_gap_reaches_keys_and_positions_only_and_no_attribute():
    assert filled("{name.__class__}", slots={"name": "Ada"}) == "<name.__class__>"


def test_what_a_tool_returned_cannot_flood_the_reply():
    assert len(filled("{result.text}", result={"text": "x" * 1_000_000})) == LONGEST_SHOWN


def test_a_value_is_never_read_as_a_template():
    assert filled("{name}", slots={"name": "{result.secret} {{"}) == "{result.secret} {{"


@given(st.text(max_size=40))
def test_any_text_is_a_template_or_refused(text):
    try:
        words = parse_template(text, SLOTS).fill({}, lambda _, __: "", lambda _: "")
    except TemplateFault as fault:
        offset = fault.offset
    else:
        assert words.count("{") <= text.count("{")
        return
    assert 0 <= offset <= len(text)
