"""A picture as a Mermaid state diagram (https://mermaid.js.org/syntax/stateDiagram.html).

States have made ids, since a name may be a keyword there; whatever is not plain in a label is written as a
character's number, which Mermaid reads before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clawdbot_dialogue.core.flow.diagrams.diagram import Node, Picture

CLASSES: Final = {
    "generate": "fill:#eef,stroke:#558",
    "call": "fill:#ffd,stroke:#885",
    "subflow": "fill:#ffd,stroke:#885,stroke-width:4px",
    "handoff": "fill:#fed,stroke:#a63",
    "end": "fill:#ddd,stroke:#555",
}
"""How kinds of states that stand out look."""
HIGHLIGHTED: Final = "fill:#fd6,stroke:#c40,stroke-width:3px,font-weight:bold"
HOLDERS: Final = ("compound", "parallel")
PLAIN: Final = frozenset(" _-.,!?()*+=×…[]")


def write(picture: Picture) -> str:
    """The diagram's text."""
    lines = ["stateDiagram-v2", *_scope(picture.start, picture.nodes, "  ")]
    for edge in picture.edges:
        label = f": {_escaped(edge.label)}" if edge.label else ""
        lines.append(f"  {edge.source} --> {edge.target}{label}")
    nodes = list(_all(picture.nodes))
    for kind, look in CLASSES.items():
        members = [node.id for node in nodes if node.kind == kind]
        if members:
            lines += [f"  classDef {kind}State {look}", f"  class {','.join(members)} {kind}State"]
    members = [node.id for node in nodes if node.highlighted]
    if members:
        lines += [f"  classDef highlighted {HIGHLIGHTED}", f"  class {','.join(members)} highlighted"]
    return "\n".join(lines) + "\n"


def _scope(start: str, nodes: Sequence[Node], indent: str) -> Iterator[str]:
    yield f"{indent}[*] --> {start}"
    for node in nodes:
        yield from _node(node, indent)
        if node.kind == "end":
            yield f"{indent}{node.id} --> [*]"


def _node(node: Node, indent: str) -> Iterator[str]:
    named = f'{indent}state "{_escaped(node.label)}" as {node.id}'
    if node.kind not in HOLDERS:
        yield named
        return
    yield f"{named} {{"
    if node.kind == "compound":
        yield from _scope(node.start, node.children, f"{indent}  ")
    else:
        for place, region in enumerate(node.children):
            if place:
                yield f"{indent}  --"
            yield from _node(region, f"{indent}  ")
    yield f"{indent}}}"


def _all(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.children)


def _escaped(label: str) -> str:
    return "".join(each if each.isalnum() or each in PLAIN else f"#{ord(each)};" for each in label)
