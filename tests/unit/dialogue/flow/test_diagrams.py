"""Flows as diagrams: what they show, and how they are written."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.diagrams.diagram import build_diagram
from clawdbot_dialogue.core.flow.diagrams.formats import render_diagram
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
    diagram = build_diagram(flow, frozenset())
    names = {node.id: node.label for node in diagram.nodes}
    return {
        (names.get(edge.source), names.get(edge.target)): (edge.label, edge.line) for edge in diagram.edges
    }


def test_an_edge_says_why_it_is_taken(flow):
    edges = labels(flow)
    assert edges["ask", "sure"] == ("slots.count > 8", "solid")
    assert edges["ask", "pay"] == ("else", "solid")
    assert edges["sure", "pay"] == ("", "solid")


def test_timeouts_fallbacks_and_errors_are_dashed(flow):
    edges = {(edge.label, edge.line) for edge in build_diagram(flow, frozenset()).edges}
    assert {("timeout 10m", "dashed"), ("not understood ×3", "dashed"), ("error: any", "dashed")} <= edges


def test_a_long_guard_is_truncated(flow):
    longer = load_flow(
        FLOW.replace("    on_event: {}\n", "").replace("slots.count > 8", "slots.count > 8" + " + 0" * 20),
        "f",
    )
    (guard,) = [
        each.label for each in build_diagram(longer, frozenset()).edges if each.label.startswith("slots")
    ]
    assert len(guard) == 40
    assert guard.endswith("…")


def test_a_highlighted_state_stands_out_in_each_language(flow):
    assert "classDef highlighted" in render_diagram(flow, "mermaid", frozenset({"pay"}))
    assert "class s2 highlighted" in render_diagram(flow, "mermaid", frozenset({"pay"}))
    assert "highlighted" not in render_diagram(flow, "mermaid")
    assert "penwidth=3" in render_diagram(flow, "dot", frozenset({"pay"}))
    assert "penwidth=3" not in render_diagram(flow, "dot")


def test_regions_are_side_by_side_with_their_states_inside():
    nested = load_flow(NESTED, "nested.yaml")
    (both, bye) = build_diagram(nested, frozenset()).nodes
    assert (both.kind, [region.label for region in both.children]) == ("parallel", ["left", "right"])
    assert [[state.label for state in region.children] for region in both.children] == [["ask", "over"]] * 2
    assert bye.children == ()
    assert render_diagram(nested, "mermaid").count("\n    --\n") == 1
    assert render_diagram(nested, "dot").count("subgraph cluster_") == 3
