"""`clawdbot flow graph`: which flow it draws, in which form, and its exit codes."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("clawdbot_dialogue.clients.graphviz", reason="the drawing of flows is not there yet")

FLOW = "flow: f\nversion: 1\nstates: {a: {say: Hello., next: b}, b: {end: true}}\n"


def test_a_flow_is_drawn_from_its_file(desk):
    desk.write(f=FLOW)
    ran = desk.run("flow", "graph", "f.yaml")
    assert ran.code == 0
    assert ran.out.startswith("stateDiagram-v2")


def test_a_flow_is_drawn_from_standard_input_into_a_file(desk):
    assert desk.run("flow", "graph", "-", "--format", "dot", "-o", "f.dot", stdin=FLOW.encode()).out == ""
    assert "digraph" in (desk.folder / "f.dot").read_text()


def test_a_flow_that_ships_is_drawn_by_its_name(desk):
    assert "confirm" in desk.run("flow", "graph", "book_table").out


def test_a_state_is_stressed(desk):
    desk.write(f=FLOW)
    assert desk.run("flow", "graph", "f.yaml", "--state", "b").out != desk.run("flow", "graph", "f.yaml").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere",), "no flow nowhere"),
        (("f.yaml", "--state", "z"), "has no state z; it has: a, b."),
        (("broken.yaml",), "[unknown-state]"),
    ],
)
def test_what_cannot_be_drawn_is_exit_code_2_with_a_sentence(desk, arguments, says):
    desk.write(f=FLOW, broken=FLOW.replace("next: b", "next: c"))
    ran = desk.run("flow", "graph", *arguments)
    assert ran.code == 2
    assert says in ran.err


def test_a_picture_without_graphviz_says_what_is_missing(desk, monkeypatch):
    desk.write(f=FLOW)
    monkeypatch.setenv("PATH", str(desk.folder))
    ran = desk.run("flow", "graph", "f.yaml", "--format", "svg")
    assert ran.code == 2
    assert "mermaid and dot need none" in ran.err


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_a_picture_is_drawn(desk):
    desk.write(f=FLOW)
    assert desk.run("flow", "graph", "f.yaml", "--format", "svg", "-o", "f.svg").code == 0
    assert (desk.folder / "f.svg").read_text().lstrip().startswith("<?xml")
