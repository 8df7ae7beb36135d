"""Diagrams are read by the real tools: Mermaid's parser under Node.js, and Graphviz's dot."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from clawdbot_dialogue.clients.graphviz import GraphvizRenderer, RendererFailed, RendererMissing
from clawdbot_dialogue.core.flow.diagrams import dot, mermaid
from clawdbot_dialogue.core.flow.diagrams.diagram import Diagram, Edge, build_diagram
from clawdbot_dialogue.core.flow.diagrams.formats import render_diagram
from clawdbot_dialogue.core.flow.flow_registry import shipped_flows
from clawdbot_dialogue.core.flow.loader import load_flow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.foreign import mermaid_errors
from tests.support.properties import examples
from tests.unit.dialogue.flow.test_diagrams import FLOW, NESTED

pytestmark = pytest.mark.integration

FLOWS = [load_flow(source, file) for file, source in [*shipped_flows(), ("o", FLOW), ("n", NESTED)]]
AWKWARD = [
    "end",
    "state",
    "note",
    "style: #x;",
    'a"b',
    "a\\",
    "%%{init}%%",
    "<b>&amp;</b>",
    "--",
    "[*]",
    "名",
    ":::",
]
needs_dot = pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")


def renamed(diagram: Diagram, names: list[str]) -> Diagram:
    """The diagram with other texts on everything."""
    given = iter(names * 100)
    nodes = tuple(dataclasses.replace(node, label=next(given)) for node in diagram.nodes)
    edges = tuple(Edge(each.source, each.target, next(given), each.line) for each in diagram.edges)
    return dataclasses.replace(diagram, title=next(given), nodes=nodes, edges=edges)


async def test_mermaid_reads_every_flow_and_any_name():
    texts = [render_diagram(flow, "mermaid", frozenset({flow.initial})) for flow in FLOWS]
    texts += [mermaid.write(renamed(build_diagram(FLOWS[-2], frozenset()), [name])) for name in AWKWARD]
    made: list[list[str]] = []

    @settings(max_examples=examples(60), database=None)
    @given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6))
    def collect(names):
        made.append(names)

    collect()
    texts += [mermaid.write(renamed(build_diagram(FLOWS[-2], frozenset()), names)) for names in made]
    faults = await mermaid_errors(texts)
    assert len(faults) == len(texts)
    assert [(text, fault) for text, fault in zip(texts, faults, strict=True) if fault] == []


@needs_dot
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_graphviz_reads_every_flow_without_a_warning(flow):
    text = render_diagram(flow, "dot", frozenset({flow.initial}))
    ran = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True, timeout=30)
    assert ran.stderr == ""
    for state in flow.states.values():
        if not state.history:
            assert state.name.rpartition(".")[2] in ran.stdout


@needs_dot
@settings(max_examples=examples(25), database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=12) | st.sampled_from(AWKWARD), min_size=1, max_size=6))
def test_graphviz_reads_any_name(names):
    text = dot.write(renamed(build_diagram(FLOWS[-2], frozenset()), names))
    ran = subprocess.run(["dot", "-Tcanon"], input=text.encode(), capture_output=True, check=True, timeout=30)
    assert b"syntax error" not in ran.stderr


@needs_dot
async def test_graphviz_renders_svg_and_png():
    text = render_diagram(FLOWS[0], "dot")
    renderer = GraphvizRenderer()
    assert b"<svg" in await renderer.render(text, "svg")
    assert (await renderer.render(text, "png")).startswith(b"\x89PNG")


@needs_dot
async def test_an_image_over_the_limit_is_an_error():
    with pytest.raises(RendererFailed, match="more than 10 bytes"):
        await GraphvizRenderer(max_bytes=10).render(render_diagram(FLOWS[0], "dot"), "svg")


async def test_without_graphviz_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RendererMissing, match="install the package graphviz"):
        await GraphvizRenderer().render("digraph {}", "svg")


def install_endless_dot(folder: Path, monkeypatch) -> Path:
    """Installs a `dot` that never ends, and returns the fifo that it writes its process id to."""
    pid_file = folder / "pid"
    os.mkfifo(pid_file)
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\necho $$ > {pid_file}\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return pid_file


def is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_cancelling_kills_the_child_and_leaves_no_zombie(monkeypatch, tmp_path):
    pid_file = install_endless_dot(tmp_path, monkeypatch)
    task = asyncio.create_task(GraphvizRenderer().render("digraph {}", "svg"))
    pid = int(await asyncio.to_thread(pid_file.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_dead(pid)


async def test_a_child_that_takes_too_long_is_killed(monkeypatch, tmp_path):
    pid_file = install_endless_dot(tmp_path, monkeypatch)
    reading = asyncio.create_task(asyncio.to_thread(pid_file.read_text))
    with pytest.raises(RendererFailed, match="more than 1 seconds"):
        await GraphvizRenderer(timeout=1.0).render("digraph {}", "svg")
    assert is_dead(int(await reading))
