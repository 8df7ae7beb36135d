"""What lint reports and what it accepts, beyond the single mistakes of mistakes.yaml."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.flow_registry import shipped_flows
from clawdbot_dialogue.core.flow.lint.analysis.cycles import cyclic_components, shortest_cycle
from clawdbot_dialogue.core.flow.lint.analysis.guard_implication import alternatives, implies
from clawdbot_dialogue.core.flow.lint.interrupts import check_interrupts
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import load_flow, validate_flow
from hypothesis import given
from hypothesis import strategies as st

from tests.support.flows import compiled, library


def reported(body):
    return [(each.code, each.line) for each in validate_flow(f"flow: f\nversion: 1\n{body}", "f").diagnostics]


@pytest.mark.parametrize(("file", "source"), shipped_flows())
def test_the_shipped_flows_are_clean(file, source):
    flow = load_flow(source, file)
    assert [each for each in flow.warnings if each.code != "no-question"] == []
    assert check_interrupts(flow, {each.name: each for each in library().list()}) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "a"),
        ("slots.n > 8", "( slots.n>8 )"),
        ('slots.t == "x y"', "slots.t == 'x y'"),
        ("a && b", "b && a"),
        ("a && b && c", "c && a"),
        ("a", "a || b"),
        ("a && c", "b || a"),
        ("a || b", "b || c || a"),
        ("slots.n > 10", "slots.n > 8"),
        ("slots.n > 8", "slots.n >= 8"),
        ("slots.n <= 3", "slots.n < 4"),
        ("slots.n == 3 && slots.m < 2", "slots.m <= 2.5"),
        ("a", "true"),
        ("false", "a"),
        ("(a || b) && c", "c"),
        ("a ? b : c", "a?b:c"),
    ],
)
def test_a_guard_implies_another(one, other):
    assert implies(alternatives(one), alternatives(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a || b", "a"),
        ("slots.n > 8", "slots.n > 10"),
        ("slots.n >= 8", "slots.n > 8"),
        ("slots.n > 8", "slots.n < 9"),
        ("slots.n > 8", "slots.m > 7"),
        ("slots.t == 'a || b'", "slots.t == 'b'"),
        ("slots.t == 'x  y'", "slots.t == 'x y'"),
        ("[a && b].all(x, x)", "b].all(x, x)"),
        ("c ? a || b : d", "b : d"),
        ("true", "a"),
    ],
)
def test_an_uncertain_implication_is_not_assumed(one, other):
    assert not implies(alternatives(one), alternatives(other))


GUARDS = st.recursive(
    st.sampled_from(["a", "b", "c", "slots.n>1", "slots.n>2", "slots.n<=2", "true", "false"]),
    lambda inner: st.builds("({}{}{})".format, inner, st.sampled_from(["&&", "||"]), inner),
    max_leaves=6,
)


@given(GUARDS, GUARDS)
def test_an_implied_guard_is_true_whenever_the_other_one_is(one, other):
    """Evaluated for every value that the names can have."""
    if not implies(alternatives(one), alternatives(other)):
        return
    python = [
        compile(each.replace("&&", " and ").replace("||", " or ").replace("slots.n", "n"), "guard", "eval")
        for each in (one, other)
    ]
    for bits in range(8):
        for n in (1, 2, 3):
            values = {"a": bits & 1, "b": bits & 2, "c": bits & 4, "n": n, "true": True, "false": False}
            first, second = (eval(each, {}, values) for each in python)
            assert second or not first


def test_a_guard_is_not_shadowed_by_transitions_of_another_kind():
    transitions = "[{event: go, to: b}, {event: come, to: b}, {if: slots.n > 1, to: b}, {to: b}]"
    assert reported(
        "slots: {n: {type: integer, ask: q}}\n"
        f"states: {{a: {{collect: [n], next: {transitions}}}, b: {{end: true}}}}"
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    "states",
    [
        "a: {collect: [n], next: [{if: slots.n > 8, clear: [n], to: a}, {to: b}]}",
        "a: {collect: [n], next: [{if: slots.n > 8, clear: [n], to: c}, {to: b}]}, c: {say: No., next: a}",
        "a: {collect: [n], next: c}, c: {collect: [ok], next: [{if: slots.ok, to: b}, {to: a}]}",
        "a: {collect: [n], next: c}, c: {generate: {instructions: i}, wait: true, next: [{to: a}]}",
        "a: {say: x, timeout: {after: 1m, to: a}, next: [{event: go, to: a}]}, b2: {next: b}",
        "a: {collect: [n], no_match: {retries: 1, to: c}, next: b}, c: {say: x, next: a}",
        "a: {handoff: q, next: c}, c: {say: x, next: a}",
    ],
)
def test_a_cycle_that_waits_for_the_person_is_not_reported(states):
    slots = "slots: {n: {type: integer, ask: q}, ok: {type: boolean, fill: asked_only, ask: q}}\n"
    assert "loop" not in {code for code, _ in reported(f"{slots}states: {{{states}, b: {{end: true}}}}")}


def test_a_loop_is_reported_without_the_waiting_states_around_it():
    """The inner cycle never waits; the outer one does, through a confirmation."""
    found = reported(
        "slots: {ok: {type: boolean, fill: asked_only, ask: q}}\n"
        "states:\n"
        "  a: {collect: [ok], next: b}\n"
        "  b: {say: x, next: [{if: slots.ok, to: c}, {to: a}]}\n"
        "  c: {next: [{if: slots.ok, to: b}, {to: a}]}\n"
    )
    assert found == [("loop", 6)]


def test_child_states_are_checked_and_reported_where_they_are_declared():
    found = reported(
        "slots: {n: {type: integer, ask: q}, t: {type: enum, values: [x], ask: q}, u: {type: date}}\n"
        "states:\n"
        "  outer:\n"
        "    initial: one\n"
        "    next: done\n"
        "    states:\n"
        "      one: {collect: [n, t], next: [{if: slots.n > 8, to: two}, {if: slots.n > 9, to: b}, {to: b}]}"
        "\n"
        "      two: {next: [{if: \"slots.t == 'y'\", to: three}, {to: b}]}\n"
        "      three: {say: x, next: two}\n"
        "      b: {end: true}\n"
        "  done: {end: true}\n"
    )
    assert set(found) == {("unused-slot", 3), ("shadowed", 9), ("not-a-value", 10), ("loop", 10)}


def test_a_loop_through_a_compound_state_is_found():
    assert reported(
        "states:\n"
        "  outer: {initial: one, next: back, states: {one: {say: x, next: over}, over: {end: true}}}\n"
        "  back: {next: outer}\n"
    ) == [("loop", 4)]  # fmt: skip


def test_regions_that_wait_for_each_other_are_not_a_loop():
    body = (
        "slots: {n: {type: integer, ask: q}}\n"
        "states:\n"
        "  both:\n"
        "    next: both\n"
        "    parallel:\n"
        "      left: {initial: a, states: {a: {collect: [n], next: over}, over: {end: true}}}\n"
        "      right: {initial: b, states: {b: {say: x, next: over}, over: {end: true}}}\n"
    )
    assert "loop" not in {code for code, _ in reported(body)}


def test_a_slot_that_an_action_sets_is_used():
    assert reported(
        "slots: {x: {type: integer}}\nstates: {a: {say: x, next: [{set: {x: 1}, to: b}]}, b: {end: true}}"
    ) == []  # fmt: skip


GRAPHS = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3))


@given(GRAPHS)
def test_cyclic_components_are_the_nodes_that_reach_each_other(graph):
    def reachable_from(node):
        seen, pending = set(), [node]
        while pending:
            for each in graph.get(pending.pop(), ()):
                if each in graph and each not in seen:
                    seen.add(each)
                    pending.append(each)
        return seen

    reach = {node: reachable_from(node) for node in graph}
    expected = {
        frozenset(other for other in graph if node in reach[other] and other in reach[node])
        for node in graph
        if node in reach[node]
    }
    found = list(cyclic_components(graph))
    assert {frozenset(each) for each in found} == expected
    for component in found:
        path = shortest_cycle(component[0], {node: graph[node] for node in component})
        assert path[0] == component[0]
        assert all(b in graph[a] for a, b in zip(path, [*path[1:], path[0]], strict=True))


def test_a_slot_is_used_by_texts_guards_and_arguments():
    for use in (
        "{say: 'On {x}.', end: true}",
        "{next: [{if: has(slots.x), to: b}, {to: b}]}",
        "{call: {tool: t, args: {d: '${slots.x}'}}, next: [{on_error: any, to: b}, {to: b}]}",
        "{call: {tool: t, args: {d: [{e: 'on {slots.x}'}]}}, next: [{on_error: any, to: b}, {to: b}]}",
        "{generate: {instructions: 'About {x}.'}}",
    ):
        found = reported(f"slots: {{x: {{type: date}}}}\nstates: {{a: {use}, b: {{end: true}}}}")
        assert "unused-slot" not in {code for code, _ in found}


ASKS = (
    "flow: f\nversion: 1\nslots: {n: {type: integer, ask: q}}\n"
    "states: {a: {collect: [n], next: b}, b: {end: true}}\n"
)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ("states: {a: {generate: {instructions: i}}}", 'only "cancel" leads back'),
        ("states: {a: {say: x}, b: {end: true}}", 'only "cancel" leads back'),
        ("states: {a: {say: x}}\ninterrupts: {allow: []}", "nothing leads back"),
    ],
)
def test_an_interrupt_by_a_flow_that_never_ends_is_reported_where_it_is_allowed(other, says):
    flow = load_flow(ASKS + "interrupts: {allow: [cancel, endless]}", "f.yaml")
    (found,) = check_interrupts(flow, {"endless": compiled(other, "endless"), "f": flow})
    assert (found.code, found.line, found.column) == ("cannot-resume", 5, 30)
    assert says in found.message


def test_a_subflow_that_never_ends_is_reported_where_it_is_called():
    flow = compiled("states: {a: {subflow: {flow: endless}, next: b}, b: {end: true}}")
    (found,) = check_interrupts(flow, {"endless": compiled("states: {a: {say: x}}", "endless")})
    assert (found.code, found.line, found.column) == ("cannot-resume", 3, 30)


def test_an_interrupt_by_a_flow_that_ends_or_is_unknown_is_not_reported():
    flow = load_flow(ASKS + "interrupts: {allow: [ends, elsewhere]}", "f.yaml")
    assert check_interrupts(flow, {"ends": compiled("states: {a: {end: true}}", "ends")}) == ()


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "x": {"type": "number"},
        "day": {"type": "string"},
        "size": {"enum": ["small", "large"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "where": {"$ref": "#/$defs/place"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "$defs": {"place": {"type": "object", "properties": {"street": {"type": "string"}}}},
    "required": ["n"],
    "additionalProperties": False,
}


def arguments(text):
    flow = compiled(
        "slots: {n: {type: integer, ask: q}, x: {type: number, ask: q}, day: {type: date, ask: q}}\n"
        "states:\n"
        "  a: {collect: [n, x, day], next: b}\n"
        f"  b: {{call: {{tool: t, args: {{{text}}}}}, next: [{{on_error: any, to: c}}, {{to: c}}]}}\n"
        "  c: {end: true}\n"
    )
    found = check_arguments(flow, {"t": SCHEMA})
    assert all(each.code == "tool-argument" and each.severity == "warning" for each in found)
    return [(each.line, each.column, each.message, each.hint) for each in found]


@pytest.mark.parametrize(
    "text",
    [
        "n: 1",
        "n: '${slots.n}', x: '${slots.n}', day: 'On {day}'",
        "n: '${slots.n}', x: '${slots.x}', note: null, size: small, where: {street: Elm}, tags: [a, b]",
        "n: '${result.n}'",
    ],
)
def test_arguments_that_a_tool_accepts_are_not_reported(text):
    assert arguments(text) == []


@pytest.mark.parametrize(
    ("text", "column", "says", "hint"),
    [
        ("x: 1", 7, 'The tool t requires the argument "n"', "Add n"),
        ("n: many", 33, '"n" must be integer; this is string', ""),
        ("n: '${slots.x}'", 33, '"n" must be integer; this is number', ""),
        ("n: 'about {n}'", 33, '"n" must be integer; this is string', ""),
        ("n: 1, dya: x", 41, 'The tool t has no argument "dya"', 'Did you mean "day"?'),
        ("n: 1, size: big", 42, '"size" cannot be "big"', "small"),
        ("n: 1, note: 3", 42, '"note" must be null or string; this is integer', ""),
        ("n: 1, where: {street: 4}", 52, '"street" must be string; this is integer', ""),
        ("n: 1, tags: [a, true]", 46, "item at index 1 must be string; this is boolean", ""),
    ],
)
def test_an_argument_that_a_tool_rejects_is_reported_where_it_is(text, column, says, hint):
    ((line, at, message, found_hint),) = arguments(text)
    assert (line, at) == (6, column)
    assert says in message
    assert hint in found_hint


def test_calls_of_unknown_tools_are_not_checked():
    flow = compiled(
        "states:\n"
        "  a: {call: {tool: u, args: {n: x}}, next: [{on_error: any, to: b}, {to: b}]}\n"
        "  b: {end: true}\n"
    )
    assert check_arguments(flow, {"t": SCHEMA}) == ()
