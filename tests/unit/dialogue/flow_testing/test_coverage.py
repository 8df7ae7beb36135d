"""Coverage of flows: every edge that a step takes is counted once, where it is declared."""

from __future__ import annotations

from textwrap import dedent, indent

from clawdbot_dialogue.flow_testing.coverage import measure_coverage
from clawdbot_dialogue.flow_testing.runner import run_conversations

from tests.support.flows import compiled, library

FLOW = compiled("""
slots: {n: {type: integer, ask: q}}
states:
  a:
    collect: [n]
    no_match: {retries: 0, to: lost}
    timeout: {after: 1h, to: late}
    next:
      - {event: go, to: b}
      - {event: go.far, to: b}
      - {if: slots.n > 5, to: b}
      - {to: c}
  b:
    call: {tool: t}
    next:
      - {on_error: unknown, to: c}
      - {on_error: failed, to: c}
      - {to: c}
  c: {end: true}
  lost: {end: true}
  late: {say: Late., next: c}
""")


def uncovered(flow, *conversations):
    head = "flow: f\nnow: 2026-11-24T10:00\nconversations:\n"
    source = head + "".join(f"  - name: x\n{indent(dedent(each), '    ')}\n" for each in conversations)
    results = run_conversations(source, "c.yaml", library(flow).get)
    assert [each.failures for each in results] == [()] * len(conversations)
    found = measure_coverage(flow, results)
    return [each.text for each in (*found.uncovered_states, *found.uncovered_edges)], found


def test_transitions_to_the_same_state_are_distinguished():
    left, _ = uncovered(
        FLOW,
        "tools: {t: [{error: x}]}\nsteps: [{say: '9', expect: {status: ended}}]",
        "tools: {t: [{result: 1}]}\nsteps: [{event: {name: go}}]",
    )
    assert left == [
        "lost",
        "late",
        "a → lost (no_match)",
        "a → late (timeout)",
        "a → b (event: go.far)",
        "a → c",
        "b → c (on_error: unknown)",
        "late → c",
    ]


def test_conversations_that_take_every_edge_cover_everything():
    left, found = uncovered(
        FLOW,
        "tools: {t: [{unknown: true}]}\nsteps: [{say: '9', expect: {status: ended}}]",
        "tools: {t: [{error: x}]}\nsteps: [{event: {name: go.far}}]",
        "tools: {t: [{result: 1}]}\nsteps: [{event: {name: go}}]",
        "steps: [{say: '3'}]",
        "steps: [{say: purple}]",
        "steps: [{wait: 1h}]",
    )
    # The earlier `go` matches go.far too, so its own transition is never taken.
    assert left == ["a → b (event: go.far)"]
    assert (found.state_percent, round(found.edge_percent)) == (100.0, 90)


def test_an_inherited_transition_is_one_edge():
    flow = compiled("""
slots: {n: {type: integer, ask: q}, m: {type: integer, ask: r}}
states:
  outer:
    initial: one
    timeout: {after: 1h, to: late}
    next: [{event: stop, to: late}, {to: done}]
    states:
      one: {collect: [n], next: two}
      two: {collect: [m], next: over}
      over: {end: true}
  done: {end: true}
  late: {end: true}
""")
    left, found = uncovered(flow, "steps: [{say: '1'}, {wait: 1h, expect: {status: ended}}]")
    assert found.edges == 5
    assert left == [
        "outer.over",
        "done",
        "outer → late (event: stop)",
        "outer → done",
        "outer.two → outer.over",
    ]
    left, _ = uncovered(flow, "steps: [{say: '1'}, {say: '2', expect: {status: ended}}]")
    assert left == ["late", "outer → late (timeout)", "outer → late (event: stop)"]


def test_a_composite_state_is_entered_with_its_children():
    """The effects of a step never name it."""
    flow = compiled(
        "states: {outer: {initial: in, states: {in: {end: true}}, next: done}, done: {end: true}}"
    )
    assert uncovered(flow, "steps: [{expect: {status: ended}}]")[0] == []


def test_a_flow_without_edges_is_covered():
    flow = compiled("states: {a: {end: true}}")
    _, found = uncovered(flow, "steps: [{expect: {status: ended}}]")
    assert (found.edges, found.edge_percent) == (0, 100.0)
