"""Draws a flow in the requested diagram language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from clawdbot_dialogue.core.flow.diagrams import dot, mermaid
from clawdbot_dialogue.core.flow.diagrams.diagram import Diagram, build_diagram
from clawdbot_dialogue.core.flow.model import Flow

DiagramFormat = Literal["mermaid", "dot"]
WRITERS: Final[Mapping[DiagramFormat, Callable[[Diagram], str]]] = {
    "mermaid": mermaid.write,
    "dot": dot.write,
}


def render_diagram(flow: Flow, diagram_format: DiagramFormat, highlight: frozenset[str] = frozenset()) -> str:
    """The text of a flow's diagram.

    Args:
        flow: The flow.
        diagram_format: The language: Mermaid's, or Graphviz's.
        highlight: Paths of the states to highlight; unknown ones are ignored.
    """
    return WRITERS[diagram_format](build_diagram(flow, highlight))
