"""`clawdbot flow graph`: which flow it draws, in which format, and its exit codes."""

from __future__ import annotations

import shutil

import pytest

FLOW = "flow: f\nversion: 1\nstates: {a: {say: Hello., next: b}, b: {end: true}}\n"


def test_a_flow_is_drawn_from_its_file(cli):
    cli.write(f=FLOW)
    result = cli.run("flow", "graph", "f.yaml")
    assert result.code == 0
    assert result.out.startswith("stateDiagram-v2")


def test_a_flow_is_drawn_from_standard_input_into_a_file(cli):
    assert cli.run("flow", "graph", "-", "--format", "dot", "-o", "f.dot", stdin=FLOW.encode()).out == ""
    assert "digraph" in (cli.folder / "f.dot").read_text()


def test_a_shipped_flow_is_drawn_by_its_name(cli):
    assert "confirm" in cli.run("flow", "graph", "book_table").out


def test_a_state_is_highlighted(cli):
    cli.write(f=FLOW)
    assert cli.run("flow", "graph", "f.yaml", "--state", "b").out != cli.run("flow", "graph", "f.yaml").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere",), "nowhere: there is no such file, and no shipped flow of that name."),
        (("f.yaml", "--state", "z"), "has no state z. Its states are: a, b."),
        (("broken.yaml",), "[unknown-state]"),
    ],
)
def test_a_flow_that_cannot_be_drawn_is_exit_code_2_with_a_sentence(cli, arguments, says):
    cli.write(f=FLOW, broken=FLOW.replace("next: b", "next: c"))
    result = cli.run("flow", "graph", *arguments)
    assert result.code == 2
    assert says in result.err


def test_a_picture_without_graphviz_says_what_is_missing(cli, monkeypatch):
    cli.write(f=FLOW)
    monkeypatch.setenv("PATH", str(cli.folder))
    result = cli.run("flow", "graph", "f.yaml", "--format", "svg")
    assert result.code == 2
    assert "mermaid and dot work without it" in result.err


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_a_picture_is_drawn(cli):
    cli.write(f=FLOW)
    assert cli.run("flow", "graph", "f.yaml", "--format", "svg", "-o", "f.svg").code == 0
    assert (cli.folder / "f.svg").read_text().lstrip().startswith("<?xml")
