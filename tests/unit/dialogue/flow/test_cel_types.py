"""Composite slots, as guards, arguments and texts see them."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.cel.errors import ExpressionError
from clawdbot_dialogue.core.flow.cel.expressions import Activation, EvaluationError, ExpressionCompiler
from clawdbot_dialogue.core.flow.cel.types import ListOf, Structure
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.flow.templates import TemplateError, format_json, parse_template

from tests.support.flows import Talk, compiled

SUM = Structure({"amount": "double", "currency": "string"}, "a sum of money")
LINE = Structure({"name": "string", "price": SUM, "tags": ListOf("string")}, "a line")
KINDS = {
    "total": SUM,
    "paid": SUM,
    "lines": ListOf(LINE),
    "tags": ListOf("string"),
    "grid": ListOf(ListOf("int")),
    "anything": "dyn",
    "things": ListOf("dyn"),
    "nested": Structure({"slots": SUM, "nested": SUM}, "names that are used elsewhere"),
}
SLOTS = {
    "total": {"amount": 30.5, "currency": "EUR"},
    "lines": [{"name": "tea", "price": {"amount": 2.5, "currency": "EUR"}, "tags": ["hot"]}],
    "tags": ["a", "b"],
    "grid": [[1, 2], [3]],
    "anything": {"x": [1]},
    "things": [{"x": 1}, "y"],
    "nested": {"slots": {"amount": 1.0, "currency": "EUR"}},
}


@pytest.mark.parametrize(
    "guard",
    [
        "slots.total.amount > 30.0 && slots.total.currency == 'EUR'",
        "has(slots.total.amount) && has(slots.total) && !has(slots.paid)",
        "slots.lines[0].price.amount == 2.5",
        "slots.lines.exists(line, line.name == 'tea' && 'hot' in line.tags)",
        "size(slots.lines) == 1 && size(slots.tags) == 2",
        "'a' in slots.tags",
        "slots.grid[0][1] == 2",
        "slots.anything.x[0] == 1",
        "slots.things[0].x == 1",
        "slots.nested.slots.amount == 1.0",
        "slots.total == dyn({'amount': 30.5, 'currency': 'EUR'})",
        "slots.total != slots.lines[0].price",
        "[slots.total.amount, slots.lines[0].price.amount].all(amount, amount > 1.0)",
    ],
)
def test_guards_can_access_parts(guard):
    assert ExpressionCompiler(KINDS).guard(guard).holds(Activation({"slots": SLOTS}))


@pytest.mark.parametrize(
    "argument", ["slots.total", "slots.lines", "slots.tags", "slots.grid", "slots.things"]
)
def test_an_argument_can_be_the_whole_value(argument):
    expression = ExpressionCompiler(KINDS).argument(argument)
    assert expression.value(Activation({"slots": SLOTS})) == SLOTS[argument.removeprefix("slots.")]


@pytest.mark.parametrize("guard", ["slots.paid.amount > 1.0", "slots.lines[3].name == 'tea'"])
def test_a_part_of_a_missing_value_is_an_evaluation_error(guard):
    with pytest.raises(EvaluationError):
        ExpressionCompiler(KINDS).guard(guard).holds(Activation({"slots": SLOTS}))


@pytest.mark.parametrize(
    ("guard", "message", "at"),
    [
        ("slots.lines[0].price.amuont > 1.0", 'A sum of money has no part "amuont".', "amuont"),
        ("slots.lines.exists(line, line.nmae == 'tea')", 'A line has no part "nmae".', "nmae"),
        (
            "slots.lines.all(x, x.price.amount > 1)",
            "`>` cannot be applied to a number and a whole number.",
            "> 1",
        ),
        ("slots.lines.name == 'tea'", "A list has no named parts.", ".name"),
        ("slots.lines == 'tea'", "`==` cannot be applied to a list and text.", "== "),
        ("slots.tags[0] > 1", "`>` cannot be applied to text and a whole number.", "> 1"),
        ("slots.total.exists(part, true)", "A sum of money is not a list.", ".total"),
        ("slots.nested.nested.amuont > 1.0", 'A sum of money has no part "amuont".', "amuont"),
        ("slots.nested.total.amount > 1.0", 'Names that are used elsewhere has no part "total".', "total"),
        ("true && slots.lines", "`&&` cannot be applied to true or false and a list.", "&& "),
    ],
)  # fmt: skip
def test_a_type_error_is_reported_with_its_position(guard, message, at):
    with pytest.raises(ExpressionError) as error:
        ExpressionCompiler(KINDS).guard(guard)
    assert (error.value.message, error.value.offset) == (message, guard.index(at))


@pytest.mark.parametrize(
    "guard", ["flow.s1 == flow.s1", "type(slots.total) == flow.s1", "flow.s1{} == slots.total"]
)
def test_the_messages_of_the_check_cannot_be_named(guard):
    with pytest.raises(ExpressionError):
        ExpressionCompiler(KINDS).guard(guard)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{total.amount} {total.currency}", "30.5 EUR"),
        ("{slots.lines.0.price.amount}", "2.5"),
        ("{tags.1}", "b"),
        ("{grid.0.1}", "2"),
        ("{anything.x.0}", "1"),
        ("{anything.y}", "?"),
        ("{lines.7.name}", "?"),
    ],
)
def test_texts_can_show_parts(text, rendered):
    shown = parse_template(text, KINDS).render(
        {"slots": SLOTS}, lambda _, value: format_json(value), lambda _: "?"
    )
    assert shown == rendered


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("Pay {total.amuont}!", '"total" has no part "amuont".', "amuont"),
        ("Pay {slots.total.amount.cents}!", '"total.amount" has no part "cents".', "cents"),
        ("First {lines.first}", '"lines" has no part "first".', "first"),
        ("First {lines.0.price.amuont}", '"lines.0.price" has no part "amuont".', "amuont"),
        ("{tags.0.x}", '"tags.0" has no part "x".', "x}"),
    ],
)
def test_an_unknown_part_in_a_text_is_reported_with_its_position(text, message, at):
    with pytest.raises(TemplateError) as error:
        parse_template(text, KINDS)
    assert (error.value.code, error.value.message) == ("undeclared-slot", message)
    assert error.value.offset == text.index(at)


PAY = compiled("""
slots: {price: {type: money, currencies: [EUR], ask: How much?}}
states:
  ask: {collect: [price], next: pay}
  pay:
    call: {tool: pay, args: {sum: "${slots.price}", amount: "${slots.price.amount}"}}
    next: [{on_error: any, to: done}, {to: done}]
  done: {say: "{price.amount} of {price.currency}, in all {price}.", end: true}
""")


def test_a_sum_is_passed_and_shown_whole_or_by_parts():
    talk = Talk.about(PAY).say("30.50 euros")
    assert talk.call.arguments == {"sum": {"amount": 30.5, "currency": "EUR"}, "amount": 30.5}
    assert talk.returns({}).replies == ["30.5 of EUR, in all 30.50 EUR."]


def test_a_sum_passed_to_a_tool_that_accepts_no_object_is_reported():
    schema = {"properties": {"sum": {"type": "string"}, "amount": {"type": "number"}}}
    (found,) = check_arguments(load_flow(PAY.source, "f.yaml"), {"pay": schema})
    assert '"sum" must be string; this is object' in found.message
