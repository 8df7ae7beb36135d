"""Writes a diagram in Graphviz's language (https://graphviz.org/doc/info/lang.html).

A composite state is a cluster with a small start node inside. Graphviz has only edges between nodes, so an
edge to a cluster goes to its start node and is clipped at the border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clawdbot_dialogue.core.flow.diagrams.diagram import Diagram, Edge, Node

SHAPES: Final = {
    "collect": "shape=box style=rounded",
    "say": "shape=box style=rounded",
    "generate": "shape=box style=rounded color=blue",
    "call": "shape=component",
    "subflow": "shape=box peripheries=2",
    "handoff": "shape=house",
    "choice": "shape=diamond",
    "end": "shape=oval peripheries=2",
    "history": "shape=circle width=0.3 margin=0.02",
}
START_NODE: Final = "[shape=point width=0.12]"
HIGHLIGHT_ATTRIBUTES: Final = 'penwidth=3 color="#c40000" fontname="Helvetica-Bold"'


def write(diagram: Diagram) -> str:
    """The text of the graph."""
    lines = [
        "digraph flow {",
        f"  graph [compound=true fontname=Helvetica label={_quoted(diagram.title)} labelloc=t]",
        "  node [fontname=Helvetica fontsize=11]",
        "  edge [fontname=Helvetica fontsize=9]",
        f"  start {START_NODE}",
    ]
    clusters: dict[str, tuple[str, ...]] = {}
    for node in diagram.nodes:
        lines += _node(node, "  ", (), clusters)
    anchors = {node.id: f"{node.id}_start" for node in _descendants(diagram.nodes) if node.children}
    starts = [Edge("start", diagram.start, "", "solid")]
    starts += [
        Edge(anchors[node.id], start, "", "solid")
        for node in _descendants(diagram.nodes)
        for start in ([node.start] if node.start else [child.id for child in node.children])
    ]
    lines += [_edge(edge, anchors, clusters) for edge in (*starts, *diagram.edges)]
    return "\n".join([*lines, "}"]) + "\n"


def _node(
    node: Node, indent: str, inside: tuple[str, ...], clusters: dict[str, tuple[str, ...]]
) -> Iterator[str]:
    """The lines of a node; adds to `clusters` the clusters that each node is inside of."""
    clusters[node.id] = inside
    highlight = HIGHLIGHT_ATTRIBUTES if node.highlighted else ""
    if not node.children:
        yield f"{indent}{node.id} [label={_quoted(node.label)} {SHAPES[node.kind]} {highlight}]"
        return
    inside = (*inside, node.id)
    clusters[f"{node.id}_start"] = inside
    yield f"{indent}subgraph cluster_{node.id} {{"
    style = "dashed" if inside[:-1] and node.kind == "compound" else "rounded"
    border = highlight or "color=black penwidth=1"
    yield f"{indent}  graph [label={_quoted(node.label)} style={style} {border}]"
    yield f"{indent}  {node.id}_start {START_NODE}"
    for child in node.children:
        yield from _node(child, f"{indent}  ", inside, clusters)
    yield f"{indent}}}"


def _edge(edge: Edge, anchors: dict[str, str], clusters: dict[str, tuple[str, ...]]) -> str:
    attributes = [f"style={edge.line}"]
    if edge.label:
        attributes.append(f"label={_quoted(edge.label)}")
    # Graphviz rejects, with a warning, clipping at a border that the other end is inside of.
    if edge.source in anchors and edge.source not in clusters[edge.target] and edge.source != edge.target:
        attributes.append(f"ltail=cluster_{edge.source}")
    if edge.target in anchors and edge.target not in (*clusters.get(edge.source, ()), edge.source):
        attributes.append(f"lhead=cluster_{edge.target}")
    source, target = (anchors.get(each, each) for each in (edge.source, edge.target))
    return f"  {source} -> {target} [{' '.join(attributes)}]"


def _descendants(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _descendants(node.children)


def _quoted(text: str) -> str:
    """A string as Graphviz parses it: labels may contain entities and backslash escapes."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return '"' + printable.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') + '"'
