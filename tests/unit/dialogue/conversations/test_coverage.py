"""What conversations cover: every way that a step goes is counted once, where it is written."""

from __future__ import annotations

from textwrap import dedent, indent

from clawdbot_dialogue.flow_testing.coverage import coverage
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


def missing(flow, *talks):
    head = "flow: f\nnow: 2026-11-24T10:00\nconversations:\n"
    source = head + "".join(f"  - name: x\n{indent(dedent(each), '    ')}\n" for each in talks)
    outcomes = run_conversations(source, "c.yaml", library(flow).get)
    assert [each.failures for each in outcomes] == [()] * len(talks)
    found = coverage(flow, outcomes)
    return [each.text for each in (*found.missing_states, *found.missing_ways)], found


def test_transitions_that_lead_to_the_same_state_are_told_apart():
    left, _ = missing(
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


def test_everything_is_covered_by_conversations_that_go_everywhere():
    left, found = missing(
        FLOW,
        "tools: {t: [{unknown: true}]}\nsteps: [{say: '9', expect: {status: ended}}]",
        "tools: {t: [{error: x}]}\nsteps: [{event: {name: go.far}}]",
        "tools: {t: [{result: 1}]}\nsteps: [{event: {name: go}}]",
        "steps: [{say: '3'}]",
        "steps: [{say: purple}]",
        "steps: [{wait: 1h}]",
    )
    # go.far fits the earlier `go` too, so that its own transition is never taken.
    assert left == ["a → b (event: go.far)"]
    assert (found.of_states, round(found.of_ways)) == (100.0, 90)


def test_what_states_have_from_the_one_that_holds_them_is_one_way():
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
    left, found = missing(flow, "steps: [{say: '1'}, {wait: 1h, expect: {status: ended}}]")
    assert found.ways == 5
    assert left == [
        "outer.over",
        "done",
        "outer → late (event: stop)",
        "outer → done",
        "outer.two → outer.over",
    ]
    left, _ = missing(flow, "steps: [{say: '1'}, {say: '2', expect: {status: ended}}]")
    assert left == ["late", "outer → late (timeout)", "outer → late (event: stop)"]


def test_a_state_that_holds_others_is_entered_with_them():
    """It is never named in a step's effects."""
    flow = compiled(
        "states: {outer: {initial: in, states: {in: {end: true}}, next: done}, done: {end: true}}"
    )
    assert missing(flow, "steps: [{expect: {status: ended}}]")[0] == []


def test_a_flow_without_ways_is_covered():
    flow = compiled("states: {a: {end: true}}")
    _, found = missing(flow, "steps: [{expect: {status: ended}}]")
    assert (found.ways, found.of_ways) == (0, 100.0)
