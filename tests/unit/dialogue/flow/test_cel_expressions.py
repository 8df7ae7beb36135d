"""Guards and arguments: CEL over the slots, a tool's result, the event and the turn."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from clawdbot_dialogue.core.flow.cel.expressions import (
    Activation,
    EvaluationError,
    ExpressionCompiler,
    ExpressionError,
    _runtime_environment,
)
from clawdbot_dialogue.core.flow.cel.fast_path import no_fast_path
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.properties import examples

KINDS = {"n": "int", "x": "double", "ok": "bool", "day": "string"}


def scope(slots=None, result=None):
    return Activation(
        {"slots": slots or {}, "result": result, "event": {}, "turn": {"date": "2026-11-24", "number": 3}}
    )


def value(text, slots=None, result=None):
    return ExpressionCompiler(KINDS).argument(text).value(scope(slots, result))


@pytest.mark.parametrize(
    ("guard", "slots", "holds"),
    [
        ("slots.n > 8", {"n": 9}, True),
        ("slots.n > 8", {"n": 8}, False),
        ("has(slots.n)", {}, False),
        ("has(slots.n) && slots.n > 1", {}, False),
        ("slots.ok", {"ok": True}, True),
        ("!slots.ok", {"ok": True}, False),
        ("slots.day >= turn.date", {"day": "2026-12-01"}, True),
        ("slots.day in ['2026-12-24', '2026-12-25']", {"day": "2026-12-24"}, True),
        ("slots.day.startsWith('2026-')", {"day": "2027-01-01"}, False),
        ("slots.x > 1.5", {"x": 2.0}, True),
        ("turn.number == 3", {}, True),
    ],
)
def test_a_guard_is_true_or_false(guard, slots, holds):
    assert ExpressionCompiler(KINDS).guard(guard).holds(scope(slots)) is holds


def results(expression, scope):
    """The values of an expression as a guard and as an argument, types and errors included."""
    for evaluate in (expression.holds, expression.value):
        try:
            found = evaluate(scope)
            yield type(found), repr(found)
        except EvaluationError as error:
            yield EvaluationError, str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)


PATHS = ["slots.n", "slots.x", "slots.day", "result.a", "result.a.b", "event.a", "turn.number"]
PLAIN = st.recursive(
    st.sampled_from(PATHS)
    | st.builds(
        "{} {} {}".format,
        st.sampled_from(["slots.n", "slots.day", "result.a", "event.a"]),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        st.sampled_from(["0", "-3", "1.5", "true", "'a'", '"b"', "slots.n", "result.a", "event.a"]),
    ),
    lambda part: st.builds("{} && {}".format, part, part),
    max_leaves=3,
) | st.builds(
    "has({}) ? {} : {}".format,
    st.sampled_from(PATHS),
    st.sampled_from(PATHS),
    st.sampled_from([*PATHS, "'Guest'", "0", "true"]),
)


@settings(max_examples=examples(500))
@given(text=PLAIN, one=JSON, other=JSON)
def test_the_fast_path_gives_what_cel_gives(text, one, other):
    try:
        fast = ExpressionCompiler(dict.fromkeys(KINDS, "dyn")).argument(text)
    except ExpressionError:
        return
    assert fast.fast_path is not no_fast_path
    scope = {"slots": {"n": one, "day": other}, "result": one, "event": {"a": other}, "turn": {"number": 3}}
    slow = replace(fast, fast_path=no_fast_path)
    assert list(results(fast, Activation(scope))) == list(results(slow, Activation(scope)))


@pytest.mark.parametrize(
    "text",
    ["slots.n + 1", "!slots.ok", "slots.n > 1 || slots.ok", "has(slots.n)", "slots.day == 'a\\n'", "3 > 1"],
)
def test_other_expressions_are_left_to_cel(text):
    assert ExpressionCompiler(KINDS).argument(text).fast_path is no_fast_path


@pytest.mark.parametrize(
    ("guard", "slots", "result"),
    [
        ("slots.n > 8", {}, None),
        ("slots.day > turn.date", {}, None),
        ("1 / (slots.n - 5) > 0", {"n": 5}, None),
        ("result.ok", {}, None),
        ("result.ok", {}, {"ok": "yes"}),
        ("result.list[3] == 1", {}, {"list": []}),
        ("result > 3", {}, "text"),
        ("9223372036854775807 + slots.n > 0", {"n": 1}, None),
    ],
)
def test_a_guard_without_a_value_is_an_error_and_never_has_a_default_value(guard, slots, result):
    """In particular, a slot without a value is neither 0 nor the empty text."""
    with pytest.raises(EvaluationError) as error:
        ExpressionCompiler(KINDS).guard(guard).holds(scope(slots, result))
    assert guard in str(error.value)


def test_arguments_keep_their_types():
    slots = {"n": 4, "x": 1.5, "ok": True, "day": "2026-12-01"}
    assert value("slots.n", slots) == 4
    assert value("slots.x", slots) == 1.5
    assert value("slots.ok", slots) is True
    assert value("[slots.n, slots.n + 1]", slots) == [4, 5]
    assert value("{'when': slots.day}", slots) == {"when": "2026-12-01"}
    assert value("result.rows[1].name", {}, {"rows": [{}, {"name": "Ada"}]}) == "Ada"
    assert value("has(slots.day) ? dyn(slots.day) : null", {}) is None


def test_an_expression_cannot_return_what_json_cannot_represent():
    with pytest.raises(EvaluationError):
        value("{1: 'a'}")


def test_slots_are_typed_at_compile_time_and_results_are_dynamic():
    assert ExpressionCompiler(KINDS).argument("slots.n + 1").return_type == "int"
    assert ExpressionCompiler(KINDS).argument("result.n").return_type == "dyn"


def test_the_message_types_of_the_check_cannot_be_named():
    """The check sees the slots as a message; at run time they are a map."""
    with pytest.raises(ExpressionError):
        ExpressionCompiler(KINDS).guard("flow.slots{n: 1}.n == 1")


ATOMS = st.sampled_from(
    ["slots", "slots.n", "slots.x", "slots.ok", "slots.day", "result", "result.a", "event", "turn", "1",
     "1.5", "'a'", "true", "null", "[1]", "[slots.n]", "has(slots.n)", "size(slots.day)", "dyn(slots)"]
)  # fmt: skip
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["==", "<", "&&", "||", "+", "in"]), inner)
        | st.builds("!{}".format, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
        | st.builds("type({})".format, inner)
        | st.builds("[{}].exists(y, y == {})".format, inner, inner)
    ),
    max_leaves=5,
)


@settings(max_examples=examples(300))
@given(EXPRESSIONS)
def test_what_passes_the_check_compiles_for_run_time(text):
    """Expressions are compiled for run time when they first run, so no compile error may be left for then."""
    with suppress(ExpressionError):
        expression = ExpressionCompiler(KINDS).argument(text)
        _runtime_environment().compile(expression.text)


@pytest.mark.parametrize(
    "text",
    [
        "slots.t.matches(slots.t)",
        "matches(slots.t, slots.t)",
        "slots.t.matches('(' + slots.t + ')')",
        "slots.t.matches(slots.n > 1 ? 'a' : slots.t)",
        "[slots.t].exists(p, slots.t.matches(p))",
        "has(slots.t) && !slots.t . matches (slots.t)",
    ],
)
def test_a_pattern_that_the_person_could_say_is_refused(text):
    with pytest.raises(ExpressionError) as refused:
        ExpressionCompiler({"t": "string", "n": "int"}).guard(text)
    assert refused.value.code == "guard-cost"


@pytest.mark.parametrize(
    "text", ["slots.t.matches('(a+)+$')", "slots.t.contains(slots.t)", "slots.t == 'matches'"]
)
def test_a_pattern_that_is_written_in_the_expression_is_allowed(text):
    assert ExpressionCompiler({"t": "string", "n": "int"}).guard(text)
