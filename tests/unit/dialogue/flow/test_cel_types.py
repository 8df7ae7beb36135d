"""Slots that have parts or hold several values, as guards, arguments and texts see them."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.cel.errors import ExpressionFault
from clawdbot_dialogue.core.flow.cel.expressions import Activation, EvaluationFailed, ExpressionCompiler
from clawdbot_dialogue.core.flow.cel.types import ListOf, Structure
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_dialogue.core.flow.templates import TemplateFault, parse_template, show_json

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
    "nested": Structure({"slots": SUM, "nested": SUM}, "names that are in use elsewhere"),
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
def test_guards_look_into_them(guard):
    assert ExpressionCompiler(KINDS).guard(guard).holds(Activation({"slots": SLOTS}))


@pytest.mark.parametrize(
    "argument", ["slots.total", "slots.lines", "slots.tags", "slots.grid", "slots.things"]
)
def test_an_argument_is_given_the_whole(argument):
    expression = ExpressionCompiler(KINDS).argument(argument)
    assert expression.value(Activation({"slots": SLOTS})) == SLOTS[argument.removeprefix("slots.")]


@pytest.mark.parametrize("guard", ["slots.paid.amount > 1.0", "slots.lines[3].name == 'tea'"])
def test_a_part_of_what_has_no_value_has_none(guard):
    with pytest.raises(EvaluationFailed):
        ExpressionCompiler(KINDS).guard(guard).holds(Activation({"slots": SLOTS}))


@pytest.mark.parametrize(
    ("guard", "message", "at"),
    [
        ("slots.lines[0].price.amuont > 1.0", 'A sum of money has no part "amuont".', "amuont"),
        ("slots.lines.exists(line, line.nmae == 'tea')", 'A line has no part "nmae".', "nmae"),
        ("slots.lines.all(x, x.price.amount > 1)", "`>` does not fit a number and a whole number.", "> 1"),
        ("slots.lines.name == 'tea'", "A list has no parts to look at here.", ".name"),
        ("slots.lines == 'tea'", "`==` does not fit a list and text.", "== "),
        ("slots.tags[0] > 1", "`>` does not fit text and a whole number.", "> 1"),
        ("slots.total.exists(part, true)", "A sum of money has no parts to look at here.", ".total"),
        ("slots.nested.nested.amuont > 1.0", 'A sum of money has no part "amuont".', "amuont"),
        ("slots.nested.total.amount > 1.0", 'Names that are in use elsewhere has no part "total".', "total"),
        ("true && slots.lines", "`&&` does not fit true or false and a list.", "&& "),
    ],
)  # fmt: skip
def test_what_does_not_fit_them_is_told_where_it_stands(guard, message, at):
    with pytest.raises(ExpressionFault) as told:
        ExpressionCompiler(KINDS).guard(guard)
    assert (told.value.message, told.value.offset) == (message, guard.index(at))


@pytest.mark.parametrize(
    "guard", ["flow.s1 == flow.s1", "type(slots.total) == flow.s1", "flow.s1{} == slots.total"]
)
def test_the_messages_of_the_check_cannot_be_named(guard):
    with pytest.raises(ExpressionFault):
        ExpressionCompiler(KINDS).guard(guard)


@pytest.mark.parametrize(
    ("text", "words"),
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
def test_texts_show_their_parts(text, words):
    shown = parse_template(text, KINDS).fill(
        {"slots": SLOTS}, lambda _, value: show_json(value), lambda _: "?"
    )
    assert shown == words


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
def test_a_text_with_a_part_that_is_not_there_is_told_where_it_stands(text, message, at):
    with pytest.raises(TemplateFault) as told:
        parse_template(text, KINDS)
    assert (told.value.code, told.value.message) == ("undeclared-slot", message)
    assert told.value.offset == text.index(at)


PAY = compiled("""
slots: {price: {type: money, currencies: [EUR], ask: How much?}}
states:
  ask: {collect: [price], next: pay}
  pay:
    call: {tool: pay, args: {sum: "${slots.price}", amount: "${slots.price.amount}"}}
    next: [{on_error: any, to: done}, {to: done}]
  done: {say: "{price.amount} of {price.currency}, in all {price}.", end: true}
""")


def test_a_sum_is_given_and_shown_whole_or_by_parts():
    talk = Talk.about(PAY).say("30.50 euros")
    assert talk.call.arguments == {"sum": {"amount": 30.5, "currency": "EUR"}, "amount": 30.5}
    assert talk.returns({}).replies == ["30.5 of EUR, in all 30.50 EUR."]


def test_a_tool_that_takes_no_object_is_told_of_before_it_is_given_a_sum():
    schema = {"properties": {"sum": {"type": "string"}, "amount": {"type": "number"}}}
    (found,) = check_arguments(load_flow(PAY.source, "f.yaml"), {"pay": schema})
    assert "sum is string; this is object" in found.message
