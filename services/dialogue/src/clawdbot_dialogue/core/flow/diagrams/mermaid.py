"""Writes a diagram as a Mermaid state diagram (https://mermaid.js.org/syntax/stateDiagram.html).

States have generated ids, since a name may be a keyword there. In labels, special characters are written as
character numbers, which Mermaid decodes before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clawdbot_dialogue.core.flow.diagrams.diagram import Diagram, Node

KIND_STYLES: Final = {
    "generate": "fill:#eef,stroke:#558",
    "call": "fill:#ffd,stroke:#885",
    "subflow": "fill:#ffd,stroke:#885,stroke-width:4px",
    "handoff": "fill:#fed,stroke:#a63",
    "end": "fill:#ddd,stroke:#555",
}
"""The styles of kinds that do not have the default one."""
HIGHLIGHT_STYLE: Final = "fill:#fd6,stroke:#c40,stroke-width:3px,font-weight:bold"
COMPOSITE_KINDS: Final = ("compound", "parallel")
UNESCAPED: Final = frozenset(" _-.,!?()*+=×…[]")
"""Characters of a label that are written as they are, like letters and digits."""


def write(diagram: Diagram) -> str:
    """The text of the diagram."""
    lines = ["stateDiagram-v2", *_scope(diagram.start, diagram.nodes, "  ")]
    for edge in diagram.edges:
        label = f": {_escaped(edge.label)}" if edge.label else ""
        lines.append(f"  {edge.source} --> {edge.target}{label}")
    nodes = list(_descendants(diagram.nodes))
    for kind, style in KIND_STYLES.items():
        members = [node.id for node in nodes if node.kind == kind]
        if members:
            lines += [f"  classDef {kind}State {style}", f"  class {','.join(members)} {kind}State"]
    members = [node.id for node in nodes if node.highlighted]
    if members:
        lines += [f"  classDef highlighted {HIGHLIGHT_STYLE}", f"  class {','.join(members)} highlighted"]
    return "\n".join(lines) + "\n"


def _scope(start: str, nodes: Sequence[Node], indent: str) -> Iterator[str]:
    yield f"{indent}[*] --> {start}"
    for node in nodes:
        yield from _node(node, indent)
        if node.kind == "end":
            yield f"{indent}{node.id} --> [*]"


def _node(node: Node, indent: str) -> Iterator[str]:
    declaration = f'{indent}state "{_escaped(node.label)}" as {node.id}'
    if node.kind not in COMPOSITE_KINDS:
        yield declaration
        return
    yield f"{declaration} {{"
    if node.kind == "compound":
        yield from _scope(node.start, node.children, f"{indent}  ")
    else:
        for index, region in enumerate(node.children):
            if index:
                yield f"{indent}  --"
            yield from _node(region, f"{indent}  ")
    yield f"{indent}}}"


def _descendants(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _descendants(node.children)


def _escaped(label: str) -> str:
    return "".join(char if char.isalnum() or char in UNESCAPED else f"#{ord(char)};" for char in label)
