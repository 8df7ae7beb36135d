"""A picture in Graphviz's language (https://graphviz.org/doc/info/lang.html).

A state that holds others is a cluster, with a small node for where it begins; an edge to a cluster goes to
that node and is cut at the border, since edges end in nodes there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clawdbot_dialogue.core.flow.diagrams.diagram import Edge, Node, Picture

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
POINT: Final = "[shape=point width=0.12]"
HIGHLIGHTED: Final = 'penwidth=3 color="#c40000" fontname="Helvetica-Bold"'


def write(picture: Picture) -> str:
    """The graph's text."""
    lines = [
        "digraph flow {",
        f"  graph [compound=true fontname=Helvetica label={_quoted(picture.title)} labelloc=t]",
        "  node [fontname=Helvetica fontsize=11]",
        "  edge [fontname=Helvetica fontsize=9]",
        f"  start {POINT}",
    ]
    holders: dict[str, tuple[str, ...]] = {}
    for node in picture.nodes:
        lines += _node(node, "  ", (), holders)
    anchors = {node.id: f"{node.id}_start" for node in _all(picture.nodes) if node.children}
    starts = [Edge("start", picture.start, "", "solid")]
    starts += [
        Edge(anchors[node.id], start, "", "solid")
        for node in _all(picture.nodes)
        for start in ([node.start] if node.start else [child.id for child in node.children])
    ]
    lines += [_edge(edge, anchors, holders) for edge in (*starts, *picture.edges)]
    return "\n".join([*lines, "}"]) + "\n"


def _node(
    node: Node, indent: str, inside: tuple[str, ...], holders: dict[str, tuple[str, ...]]
) -> Iterator[str]:
    holders[node.id] = inside
    look = HIGHLIGHTED if node.highlighted else ""
    if not node.children:
        yield f"{indent}{node.id} [label={_quoted(node.label)} {SHAPES[node.kind]} {look}]"
        return
    inside = (*inside, node.id)
    holders[f"{node.id}_start"] = inside
    yield f"{indent}subgraph cluster_{node.id} {{"
    style = "dashed" if inside[:-1] and node.kind == "compound" else "rounded"
    yield f"{indent}  graph [label={_quoted(node.label)} style={style} {look or 'color=black penwidth=1'}]"
    yield f"{indent}  {node.id}_start {POINT}"
    for child in node.children:
        yield from _node(child, f"{indent}  ", inside, holders)
    yield f"{indent}}}"


def _edge(edge: Edge, anchors: dict[str, str], holders: dict[str, tuple[str, ...]]) -> str:
    said = [f"style={edge.line}"]
    if edge.label:
        said.append(f"label={_quoted(edge.label)}")
    # Cutting at a border that the other end is within of is refused by Graphviz, with a warning.
    if edge.source in anchors and edge.source not in holders[edge.target] and edge.source != edge.target:
        said.append(f"ltail=cluster_{edge.source}")
    if edge.target in anchors and edge.target not in (*holders.get(edge.source, ()), edge.source):
        said.append(f"lhead=cluster_{edge.target}")
    source, target = (anchors.get(each, each) for each in (edge.source, edge.target))
    return f"  {source} -> {target} [{' '.join(said)}]"


def _all(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.children)


def _quoted(text: str) -> str:
    """A string as Graphviz reads it: it knows entities and backslashes in labels."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return '"' + plain.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') + '"'
