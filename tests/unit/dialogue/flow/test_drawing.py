"""Flows as diagrams: what is drawn, and how it is written."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.diagrams.diagram import picture
from clawdbot_dialogue.core.flow.diagrams.formats import draw
from clawdbot_dialogue.core.flow.loader import load_flow

FLOW = """
flow: order
version: 2
slots:
  count: {type: integer, ask: How many?}
  sure: {type: boolean, ask: Sure?}
states:
  ask:
    collect: [count]
    timeout: {after: 10m, to: bye}
    no_match: {retries: 3, to: bye}
    next: [{if: slots.count > 8, to: sure}, {to: pay}]
  sure: {collect: [sure], next: pay}
  pay:
    call: {tool: pay, effect: once}
    next: [{on_error: any, to: bye}, {to: bye}]
  bye: {say: Bye., end: true}
"""
NESTED = """
flow: nested
version: 1
slots:
  a: {type: string, ask: A?}
  b: {type: string, ask: B?}
states:
  both:
    parallel:
      left: {states: {ask: {collect: [a], next: over}, over: {end: true}}}
      right: {states: {ask: {collect: [b], next: over}, over: {end: true}}}
    next: bye
  bye: {say: Bye., end: true}
"""


@pytest.fixture
def flow():
    return load_flow(FLOW.replace("    on_event: {}\n", ""), "order.yaml")


def labels(flow):
    seen = picture(flow, frozenset())
    names = {node.id: node.label for node in seen.nodes}
    return {(names.get(edge.source), names.get(edge.target)): (edge.label, edge.line) for edge in seen.edges}


def test_a_way_says_why_it_is_taken(flow):
    drawn = labels(flow)
    assert drawn["ask", "sure"] == ("slots.count > 8", "solid")
    assert drawn["ask", "pay"] == ("else", "solid")
    assert drawn["sure", "pay"] == ("", "solid")


def test_what_is_not_the_ordinary_course_is_dashed(flow):
    told = {(edge.label, edge.line) for edge in picture(flow, frozenset()).edges}
    assert {("timeout 10m", "dashed"), ("not understood ×3", "dashed"), ("error: any", "dashed")} <= told


def test_a_long_guard_is_cut(flow):
    longer = load_flow(
        FLOW.replace("    on_event: {}\n", "").replace("slots.count > 8", "slots.count > 8" + " + 0" * 20),
        "f",
    )
    (guard,) = [each.label for each in picture(longer, frozenset()).edges if each.label.startswith("slots")]
    assert len(guard) == 40
    assert guard.endswith("…")


def test_a_highlighted_state_stands_out_in_each_language(flow):
    assert "classDef highlighted" in draw(flow, "mermaid", frozenset({"pay"}))
    assert "class s2 highlighted" in draw(flow, "mermaid", frozenset({"pay"}))
    assert "highlighted" not in draw(flow, "mermaid")
    assert "penwidth=3" in draw(flow, "dot", frozenset({"pay"}))
    assert "penwidth=3" not in draw(flow, "dot")


def test_regions_lie_side_by_side_and_their_states_within():
    nested = load_flow(NESTED, "nested.yaml")
    (both, bye) = picture(nested, frozenset()).nodes
    assert (both.kind, [region.label for region in both.children]) == ("parallel", ["left", "right"])
    assert [[state.label for state in region.children] for region in both.children] == [["ask", "over"]] * 2
    assert bye.children == ()
    assert draw(nested, "mermaid").count("\n    --\n") == 1
    assert draw(nested, "dot").count("subgraph cluster_") == 3
