"""A flow's source as plain data, with the position of every key and value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from clawdbot_servicekit.yaml_document import Node, YamlError, plain_data, position, read_yaml

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector, Mark

Path: TypeAlias = tuple[str | int, ...]

_CODES: Final = {
    "syntax": "syntax",
    "recursive-alias": "syntax",
    "tag": "tag",
    "too-deep": "too-deep",
    "too-large": "too-large",
    "several-documents": "several-documents",
    "key-not-text": "wrong-type",
    "duplicate-key": "duplicate-key",
}
"""Code of a YamlError → of a diagnostic."""
_SPLIT: Final = "Split it into several flows."


@dataclass(frozen=True, slots=True)
class Document:
    """A source as data."""

    data: object
    """Nested dict, list, str, int, float, bool, None."""
    root: Node
    cuts: frozenset[Path] = frozenset()
    """Where values were left out, because their errors are reported already."""

    def at(self, path: Path) -> Mark:
        """Where a value begins; for a missing one, its nearest ancestor."""
        return _mark(self._node(path)[0].mark)

    def has(self, path: Path) -> bool:
        """Whether there is a value."""
        return self._node(path)[1]

    def key_at(self, path: Path) -> Mark:
        """Where a key begins; for a value without a key, where the value begins."""
        node, found = self._node(path[:-1])
        entry = node.content.get(path[-1]) if path and found and isinstance(node.content, dict) else None
        return _mark(entry[0]) if entry else self.at(path)

    def with_choices(self, chosen: Mapping[Path, str]) -> Document:
        """The document with some mappings replaced by one of their values; positions are kept.

        Args:
            chosen: The paths of the mappings, and the key of the value to take.
        """
        root = _with_choices(self.root, (), chosen)
        return Document(plain_data(root), root, self.cuts)

    def at_offset(self, path: Path, offset: int) -> Mark:
        """Where a character of a text is; exact for text on one line, as expressions usually are."""
        node, found = self._node(path)
        mark = _mark(node.mark)
        return Mark(mark.line, mark.column + offset + (found and node.quoted))

    def without(self, cuts: Collection[Path]) -> Document:
        """The document without some of its values; the others keep their positions."""
        root = _without(self.root, (), cuts)
        return Document(plain_data(root), root, self.cuts | frozenset(cuts))

    def is_cut(self, path: Path) -> bool:
        """Whether the value, or a part of it, was left out."""
        return any(cut[: len(path)] == path for cut in self.cuts)

    def _node(self, path: Path) -> tuple[Node, bool]:
        """The node at a path and True, or its nearest ancestor and False."""
        node = self.root
        for key in path:
            content = node.content
            if isinstance(content, dict) and key in content:
                node = content[key][1]
            elif isinstance(content, list) and isinstance(key, int) and key < len(content):
                node = content[key]
            else:
                return node, False
        return node, True


def _with_choices(node: Node, path: Path, chosen: Mapping[Path, str]) -> Node:
    """Copies a node, with each mapping at a chosen path replaced by the chosen value."""
    if path in chosen and isinstance(node.content, dict):
        node = node.content[chosen[path]][1]
    content = node.content
    if isinstance(content, dict):
        content = {
            key: (mark, _with_choices(child, (*path, key), chosen)) for key, (mark, child) in content.items()
        }
    elif isinstance(content, list):
        content = [_with_choices(child, (*path, at), chosen) for at, child in enumerate(content)]
    return Node(node.mark, content, node.quoted)


def _without(node: Node, path: Path, cuts: Collection[Path]) -> Node:
    content = node.content
    if isinstance(content, dict):
        left = {
            key: (mark, _without(child, (*path, key), cuts))
            for key, (mark, child) in content.items()
            if (*path, key) not in cuts
        }
        return Node(node.mark, left)
    if isinstance(content, list):
        # Removing an item moves the rest of a list up.
        kept = [(index, child) for index, child in enumerate(content) if (*path, index) not in cuts]
        return Node(node.mark, [_without(child, (*path, index), cuts) for index, child in kept])
    return node


def parse_yaml(source: str, diagnostics: DiagnosticCollector) -> Document | None:
    """The source as data; None if it is not a YAML document, which is reported to `diagnostics`."""

    def report(error: YamlError) -> None:
        hint = _SPLIT if error.code == "too-large" else error.hint
        mark = Mark(error.line, error.column)
        diagnostics.error(_CODES[error.code], error.message, mark, hint)

    try:
        root = read_yaml(source, report)
    except YamlError as error:
        report(error)
        return None
    return Document(plain_data(root), root)


def _mark(parsed: Any) -> Mark:
    return Mark(*position(parsed))
