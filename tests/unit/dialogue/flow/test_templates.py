"""Texts with placeholders are rendered from slots and results, and reach nothing else."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.templates import MAX_VALUE_LENGTH, TemplateError, format_json, parse_template
from hypothesis import given
from hypothesis import strategies as st

SLOTS = {"name": "dyn", "event": "dyn"}


def rendered(text, **scope):
    return parse_template(text, SLOTS).render(
        scope, lambda _, value: format_json(value), lambda placeholder: f"<{placeholder.text}>"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_a_placeholder_is_replaced(text, expected):
    result = {
        "ref": "T-1",
        "rows": [{}, {"id": 7}],
        "times": ["18:00", "20:30"],
        "price": 12.0,
        "deep": {"a": 1},
    }
    assert rendered(text, slots={"name": "Ada"}, result=result, turn={"date": "2026-11-24"}) == expected


@pytest.mark.parametrize(
    "text", ["{name}", "{result.ref}", "{result.rows.9}", "{result.rows.x}", "{result.ref.more}"]
)
def test_a_placeholder_without_a_value_is_passed_to_the_callback(text):
    assert rendered(text, slots={}, result={"rows": []}) == f"<{text[1:-1]}>"


def test_a_slot_takes_precedence_over_a_scope_of_the_same_name():
    assert rendered("{event}", slots={"event": "wedding"}) == "wedding"


@pytest.mark.parametrize(
    "text", ["{", "}", "{name", "{}", "{name!r}", "{name.__class__}x{", "{a b}", "{0}", "{nmae}"]
)
def test_an_invalid_placeholder_is_rejected(text):
    with pytest.raises(TemplateError):
        parse_template(text, SLOTS)


def test_a_placeholder_reaches_keys_and_positions_but_no_attributes():
    assert rendered("{name.__class__}", slots={"name": "Ada"}) == "<name.__class__>"


def test_a_tools_result_cannot_flood_the_reply():
    assert len(rendered("{result.text}", result={"text": "x" * 1_000_000})) == MAX_VALUE_LENGTH


def test_a_value_is_never_parsed_as_a_template():
    assert rendered("{name}", slots={"name": "{result.secret} {{"}) == "{result.secret} {{"


@given(st.text(max_size=40))
def test_any_text_is_a_template_or_rejected(text):
    try:
        result = parse_template(text, SLOTS).render({}, lambda _, __: "", lambda _: "")
    except TemplateError as error:
        offset = error.offset
    else:
        assert result.count("{") <= text.count("{")
        return
    assert 0 <= offset <= len(text)
