"""Whatever is sent as a flow is answered quickly, with a diagnostic rather than an exception."""

from __future__ import annotations

from contextlib import suppress

import pytest
from clawdbot_dialogue.core.flow.cel.expressions import (
    Activation,
    EvaluationError,
    ExpressionCompiler,
    ExpressionError,
)
from clawdbot_dialogue.core.flow.loader import validate_flow
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource, SlotSource, StateSource
from clawdbot_dialogue.core.flow.slots.slot import SlotValueError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.flows import compiled
from tests.support.processor_time import bounded
from tests.support.properties import examples

HEAD = "flow: f\nversion: 1\n"


def states(count, text):
    return HEAD + "states:\n" + "".join(f"  state_{at}: {text % at}\n" for at in range(count))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "a bomb of aliases": (BOMB, "too-large"),
    "an anchor within itself": ("a: &a [*a]", "syntax"),
    "a hundred thousand brackets": ("[" * 100_000, "too-deep"),
    "a hundred thousand braces": ("{a: " * 100_000, "too-deep"),
    "a thousand levels of indentation": ("\n".join(" " * at + "a:" for at in range(1000)), "too-deep"),
    "ten megabytes": ("a: b\n" * 2_000_000, "too-large"),
    "a million values": ("a: [" + "x," * 1_000_000 + "x]", "too-large"),
    "a key many times": ("a: 1\n" * 100_000, "duplicate-key"),
    "unknown keys": (HEAD + "".join(f"key{at}: 1\n" for at in range(50_000)), "unknown-key"),
    "misspelt states": (states(5000, "{next: stote_%d}"), "unknown-state"),
    "many type errors at once": (states(10_000, "{end: 3, say: 4, wait: %d}"), "wrong-type"),
    "type errors on several levels": (states(30, "{next: [{to: x%d, if: 3, clear: [[1]]}]}"), "wrong-type"),
    "too many slots": (
        HEAD + "slots:\n" + "".join(f"  s{at}: {{type: date}}\n" for at in range(9000)) + "states: {}",
        "bad-value",
    ),
    "too many fields": (
        HEAD
        + "slots: {x: {type: object, fields: {"
        + "".join(f"f{at}: {{type: date}}, " for at in range(9000))
        + "}}}\nstates: {a: {end: true}}",
        "bad-value",
    ),
    "a null character": ("flow: \0", "syntax"),
    "a lone surrogate": ("flow: \ud800", "syntax"),
    "bytes that are not text": (b"\xff\xfe\x00\x00", "not-utf8"),
    "a long key": (f'? "{"k" * 500_000}"\n: 1\n{HEAD}', "unknown-key"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "code"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_source_is_rejected_quickly_and_briefly(source, code):
    with bounded():
        found = validate_flow(source, "f.yaml")
    assert found.flow is None
    assert code in {each.code for each in found.diagnostics}
    assert len(found.diagnostics) < 250
    assert max(len(each.message) for each in found.diagnostics) < 1000


def test_a_flow_with_ten_thousand_states_compiles_quickly():
    source = states(10_000, "{handoff: q, next: [{if: turn.number > %d, to: state_0}, {to: state_1}]}")
    with bounded():
        assert validate_flow(source, "f.yaml").flow is not None


def test_a_dense_graph_of_guards_and_slots_is_checked_quickly():
    slots = "slots:\n" + "".join(f"  s{at}: {{type: date, ask: q}}\n" for at in range(100))
    transitions = ", ".join(f"{{if: 'slots.s{at} > turn.date', to: state_{at}}}" for at in range(0, 100, 4))
    source = states(100, "{collect: [s%d], next: [" + transitions + ", {to: state_0}]}")
    with bounded():
        assert validate_flow(source.replace("states:", slots + "states:"), "f.yaml").flow is not None


def numbered(count, text):
    return "".join(text.format(at, (at + 1) % count) for at in range(count))


REGIONS = "      r{0}: {{states: {{a: {{collect: [x], next: b}}, b: {{end: true}}}}}}\n"
SLOT = "slots: {x: {type: string, ask: q}}\n"
PARALLEL = f"  p:\n    next: z\n    parallel:\n{numbered(4000, REGIONS)}  z: {{end: true}}\n"
TO_REGIONS = numbered(4000, "{{if: turn.number > {0}, to: p.r{0}.b}}, ")
INSIDE = numbered(3000, "      s{0}: {{handoff: q, next: s{1}}}\n")
HISTORIES = numbered(3000, "      h{0}: {{history: deep, next: s0}}\n")
TO_HISTORIES = numbered(3000, "{{if: turn.number > {0}, to: c.h{0}}}, ")
CLEARED = HEAD + "slots: {" + numbered(400, "x{0}: {{type: string, ask: q}}, ") + "}\nstates:\n"
BACKWARDS = "".join(
    f"  t{at}: {{collect: [x{at % 400}], next: [{{if: turn.number > 2, to: t{max(0, at - 2)}, "
    f"clear: [x{at * 7 % 400}]}}, {{to: t{min(5999, at + 1)}}}]}}\n"
    for at in reversed(range(6000))
)
MULTIPLYING = {
    "regions": (f"{HEAD}{SLOT}states:\n{PARALLEL}", None),
    "ways into regions": (
        f"{HEAD}{SLOT}states:\n  a: {{handoff: q, next: [{TO_REGIONS}{{to: z}}]}}\n{PARALLEL}", "too-large"
    ),
    "ways into history": (
        (f"{HEAD}states:\n  a: {{handoff: q, next: [{TO_HISTORIES}{{to: z}}]}}\n  c:\n    states:\n"
        f"{INSIDE}{HISTORIES}  z: {{end: true}}\n"),
        "too-large",
    ),
    "slots cleared on many paths": (f"{CLEARED}  s: {{next: t0}}\n{BACKWARDS}", "too-large"),
    "inherited events": (
        (f"{HEAD}states:\n  c:\n    next: [{numbered(5000, '{{event: e{0}, to: z}}, ')}]\n    states:\n"
        f"{INSIDE}  z: {{end: true}}\n"),
        "too-large",
    ),
    "inherited ends": (
        (f"{HEAD}states:\n  c:\n    next: [{numbered(5000, '{{if: turn.number > {0}, to: z}}, ')}]\n"
        f"    states:\n{numbered(5000, '      s{0}: {{end: true}}' + chr(10))}  z: {{end: true}}\n"),
        "too-large",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "code"), MULTIPLYING.values(), ids=MULTIPLYING)
def test_what_multiplies_with_the_size_of_a_flow_is_checked_quickly(source, code):
    with bounded():
        found = validate_flow(source, "f.yaml")
    codes = {each.code for each in found.diagnostics}
    assert code in codes if code else not codes


LONG_OR = " || ".join(f"slots.n == {at}" for at in range(50))
LONG_AND = " && ".join(f"slots.n != {at}" for at in range(50))
DECLARED = "slots: {{n: {{type: integer, ask: q}}, t: {{type: enum, values: [{}], ask: q}}}}\n".format(
    ", ".join(f"value_{at}" for at in range(300))
)
LINTED = {
    "guards of many alternatives": "["
    + ", ".join(f"{{if: {LONG_OR} || slots.n > {at}, to: b}}, {{if: {LONG_AND}, to: b}}" for at in range(200))
    + "]",
    "many different guards": "[" + ", ".join(f"{{if: slots.n > {-at}, to: b}}" for at in range(5000)) + "]",
    "many impossible values": "["
    + ", ".join(f"{{if: \"slots.t == 'valve_{at}'\", to: b}}" for at in range(5000))
    + "]",
}  # fmt: skip


@pytest.mark.parametrize("transitions", LINTED.values(), ids=LINTED)
def test_what_lint_compares_is_limited(transitions):
    source = f"{HEAD}{DECLARED}states: {{a: {{collect: [n, t], next: {transitions}}}, b: {{end: true}}}}"
    with bounded():
        assert validate_flow(source, "f.yaml").flow is not None


def test_large_cycles_are_found_quickly():
    state = "{{next: [{{if: turn.number > 1, to: s{0}}}, {{to: s{1}}}]}}"
    source = HEAD + "states:\n" + "".join(
        f"  s{at}: {state.format((at + 1) % 5000, (at * 7) % 5000)}\n" for at in range(5000)
    )  # fmt: skip
    with bounded():
        assert "loop" in {each.code for each in validate_flow(source, "f.yaml").diagnostics}
        ring = HEAD + "states:\n" + "".join(f"  s{at}: {{next: s{(at + 1) % 5000}}}\n" for at in range(5000))
        assert "loop" in {each.code for each in validate_flow(ring, "f.yaml").diagnostics}


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_no_source_makes_the_validation_raise(source):
    found = validate_flow(source, "f.yaml")
    assert found.flow is None
    assert found.diagnostics


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    sorted(
        {
            *FlowSource.model_fields,
            *SlotSource.model_fields,
            *StateSource.model_fields,
            "a",
            "to",
            "if",
            "tool",
        }
    )
)
TREES = st.recursive(
    LEAVES
    | st.sampled_from(["a", "b", "date", "integer", "true", "slots.a == 1", "{a}", "${slots.b}", "10m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=examples(150))
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_no_document_makes_the_validation_raise(document):
    import json

    source = json.dumps({"flow": "f", "version": 1, "states": {"a": {"end": True}}} | document)
    found = validate_flow(source, "f.yaml")
    assert (found.flow is None) == any(each.severity == "error" for each in found.diagnostics)
    lines = source.count("\n") + 1
    assert all(1 <= each.line <= lines + 1 and each.column >= 1 for each in found.diagnostics)


FORTY = f"[{','.join(['1'] * 40)}]"
EXPRESSIONS = {
    "nested loops": FORTY + ".all(a, " + f"{FORTY}.all(b, " * 6 + "a + b > 0" + ")" * 7,
    "a regular expression that backtracks": "slots.t.matches('(a+)+$')",
    "a regular expression that explodes": "slots.t.matches('((((a{1,100}){1,100}){1,100}){1,100})')",
    "a text doubled often": "[slots.t].all(a, [a + a].all(b, [b + b].all(c, [c + c].all(d, size(d) > 0))))",
    "deep brackets": "(" * 300 + "true" + ")" * 300,
    "a long chain": " && ".join(["true"] * 120),
}  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_a_hostile_expression_is_rejected_or_ends_quickly(text):
    with bounded():
        try:
            guard = ExpressionCompiler({"t": "string"}).guard(text)
            guard.holds(Activation({"slots": {"t": "a" * 10_000}, "result": None, "event": {}, "turn": {}}))
        except (ExpressionError, EvaluationError):
            pass


SCOPE = {"slots": {"t": "a" * 10_000}, "result": None, "event": {}, "turn": {}}
GROWING = {
    "a list doubled in a chain": "[[1]]" + ".map(a, a + a)" * 26 + " == []",
    "a text doubled in a chain": "[slots.t]" + ".map(a, a + a)" * 26 + " == []",
    "a list of copies": "[1]" + ".map(a, [a, a, a, a, a, a, a, a, a])" * 8 + " == []",
    "copies in each other": "[slots.t]"
    + ".map(a, [a, a, a].map(b, [a, b, b].map(c, [a, b, c, c])))" * 2
    + " == []",
    "copies behind a filter": "[1]" + ".map(a, [a, a, a, a]).filter(b, size(b) > 0)" * 12 + " == []",
    "copies by a choice": "[1]" + ".map(a, true ? [a, a, a] : [a])" * 14 + " == []",
    "copies as a mapping": "[1]" + ".map(a, {'x': a, 'y': a, 'z': a})" * 14 + " == []",
    "loops in each other over what is read": "result.all(a, " * 4 + "a == 1" + ")" * 4,
    "loops behind comments": "[1]" + ".//\nmap(a, [a, a, a, a, a, a, a, a, a])" * 8 + " == []",
    "four loops in each other": "[1].all(a, " * 4 + "a == 1" + ")" * 4,
    "a pattern in two loops over what is read": "result.all(a, result.all(b, b.matches('.{1,900}')))",
    "more loops than are estimated": " && ".join(["[1].all(a, a == 1)"] * 9),
}  # fmt: skip


@pytest.mark.parametrize("text", GROWING.values(), ids=GROWING)
def test_an_expression_whose_values_multiply_is_refused_when_written(text):
    with pytest.raises(ExpressionError) as caught:
        ExpressionCompiler({"t": "string"}).guard(text)
    assert caught.value.code == "guard-cost"
    assert caught.value.hint


USUAL = {
    "an item": "result.lines.exists(line, line.name == 'tea' && 'hot' in line.tags && line.price < 3.0)",
    "items of two lists": "result.lines.exists(line, result.pets.exists(pet, pet.name == line.name))",
    "a chain": "result.lines.filter(x, x.price > 1.0).map(x, x.name).exists(x, x == slots.t)",
    "three levels": "result.lines.all(a, a.tags.all(b, b.parts.all(c, c != slots.t)))",
    "the word in a text": "slots.t != '" + ".map(a, a + a)" * 26 + "'",
    "a variable with the name of a scope": "[1, 2].all(result, result > 0)",
}  # fmt: skip


@pytest.mark.parametrize("text", USUAL.values(), ids=USUAL)
def test_the_usual_loops_are_accepted_and_evaluated(text):
    lines = [{"name": "tea", "tags": [{"parts": []}], "price": 2.0}] * 10
    scope = SCOPE | {"result": {"lines": lines, "pets": [{"name": "tea"}]}}
    ExpressionCompiler({"t": "string"}).guard(text).holds(Activation(scope))


def test_a_flow_has_at_most_a_thousand_expressions_with_loops():
    compiler = ExpressionCompiler({})
    for at in range(1000):
        compiler.guard(f"[1].all(a, a > {at})")
    compiler.guard("[1].all(a, a > 0)")  # compiled before
    with pytest.raises(ExpressionError, match="at most 1,000"):
        compiler.guard("[1].all(a, a > 1000)")


def test_a_loop_over_thousands_of_values_is_evaluated_and_loops_in_each_other_are_refused():
    scope = SCOPE | {"result": {"lines": [{"id": at, "name": "x" * 100} for at in range(5000)]}}
    compiler = ExpressionCompiler({"t": "string"})
    assert compiler.guard("result.lines.exists(line, line.id == 4999)").holds(Activation(scope))
    nested = compiler.guard("result.lines.exists(a, result.lines.exists(b, a.id == b.id + 9000))")
    with pytest.raises(EvaluationError, match="too large to loop over"):
        nested.holds(Activation(scope))


def test_only_what_a_loop_reads_must_be_small():
    scope = SCOPE | {"result": {"large": ["x"] * 5000, "small": [1, 2]}}
    guard = ExpressionCompiler({}).guard("result.small.all(a, result.small.exists(b, a == b))")
    assert guard.holds(Activation(scope))


def test_what_is_evaluated_at_its_limit_ends_quickly():
    compiler = ExpressionCompiler({})
    for text in (
        "result.map(a, result.map(b, [a, b]))",
        "result.map(a, a + a).map(a, a + a).map(a, [a, a, a])",
        "[result].map(a, a + a).map(a, a + a).map(a, a + a)",
    ):
        expression = compiler.argument(text)
        with bounded():
            for size in (60, 200, 900, 50_000, 3_000_000):
                with suppress(EvaluationError):
                    expression.value(Activation(SCOPE | {"result": [[1]] * (size // 2)}))


def test_a_pattern_that_would_backtrack_exponentially_takes_linear_time():
    flow = compiled(
        "slots: {x: {type: string, pattern: '(a+)+b', ask: q}}\n"
        "states: {a: {collect: [x], next: b}, b: {end: true}}"
    )
    with bounded(), pytest.raises(SlotValueError):
        flow.slots["x"].check("a" * 9000, None)


STRING = "{type: string}"


@pytest.mark.parametrize(
    ("declaration", "code"),
    [
        (
            "{type: object, fields: {" + ", ".join(f"f{n}: {{type: string}}" for n in range(101)) + "}}",
            "bad-value",
        ),
        ("{type: enum, values: [1, 2]}", "wrong-type"),
        ("{type: list, items: {type: strin}}", "bad-value"),
        ("{type: object, fields: {A-b: {type: string}}}", "bad-name"),
    ],
)
def test_a_part_of_a_slot_that_is_wrong_is_not_reported_as_missing_too(declaration, code):
    source = (
        f"{HEAD}slots:\n  s: {declaration}\nstates:\n  x: {{collect: [s], next: d}}\n  d: {{end: true}}\n"
    )
    assert [each.code for each in validate_flow(source, "f").diagnostics if each.severity == "error"] == [
        code
    ]
