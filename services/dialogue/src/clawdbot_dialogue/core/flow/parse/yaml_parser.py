"""YAML with positions: a source becomes plain data, and the place of every key and value is kept.

Reads the core schema of YAML 1.2, so `on`, `no` and `12:30` are text and a date stays text. Refuses duplicate
keys, tags, and whatever would take much time or memory: size, depth and the number of nodes after aliases are
bounded. Works on parser events, since PyYAML's own composer recurses and a deep document would exhaust the
stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from clawdbot_dialogue.core.flow.diagnostics import START, Findings, Mark

LARGEST_SOURCE = 4 * 1024 * 1024
"""Characters of a source: 400 for each of 10,000 states."""
MOST_NODES = 300_000
"""Keys and values, each alias counted as what it stands for: 30 for each of 10,000 states."""
DEEPEST = 32
"""Levels of lists and mappings; a flow needs about 6."""

Path: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A value of a source, and where it stands."""

    place: Any
    """The parser's mark, which counts lines and columns from 0; None where there is no text."""
    content: object
    """A scalar's value; a list of nodes; a dict of key → (the key's place, node)."""
    quoted: bool = False
    size: int = 1
    """Nodes in it, itself included."""
    height: int = 0
    """Levels below it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A source as data."""

    data: object
    """Nested dict, list, str, int, float, bool, None."""
    root: Node

    def at(self, path: Path) -> Mark:
        """Where the value begins; where it has none, its nearest ancestor."""
        return _mark(self._node(path)[0].place)

    def has(self, path: Path) -> bool:
        """Whether there is a value."""
        return self._node(path)[1]

    def key_at(self, path: Path) -> Mark:
        """Where the key begins; for what has no key, where the value does."""
        node, found = self._node(path[:-1])
        entry = node.content.get(path[-1]) if path and found and isinstance(node.content, dict) else None
        return _mark(entry[0]) if entry else self.at(path)

    def choosing(self, chosen: Mapping[Path, str]) -> Document:
        """The document with some mappings replaced by one of their values, by its key; places stay."""
        root = _choosing(self.root, (), chosen)
        return Document(_data(root), root)

    def inside(self, path: Path, offset: int) -> Mark:
        """Where a character of a text begins; exact for one-line text, which expressions are."""
        node, found = self._node(path)
        mark = _mark(node.place)
        return Mark(mark.line, mark.column + offset + (found and node.quoted))

    def without(self, cuts: Collection[Path]) -> Document:
        """The document without some of its values; the rest keeps its places."""
        root = _kept(self.root, (), cuts)
        return Document(_data(root), root)

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


def _choosing(node: Node, path: Path, chosen: Mapping[Path, str]) -> Node:
    """Copies a node, taking one value of each mapping that stands where something is to be chosen."""
    if path in chosen and isinstance(node.content, dict):
        node = node.content[chosen[path]][1]
    content = node.content
    if isinstance(content, dict):
        content = {
            key: (place, _choosing(child, (*path, key), chosen)) for key, (place, child) in content.items()
        }
    elif isinstance(content, list):
        content = [_choosing(child, (*path, at), chosen) for at, child in enumerate(content)]
    return Node(node.place, content, node.quoted)


def _kept(node: Node, path: Path, cuts: Collection[Path]) -> Node:
    content = node.content
    if isinstance(content, dict):
        left = {
            key: (place, _kept(child, (*path, key), cuts))
            for key, (place, child) in content.items()
            if (*path, key) not in cuts
        }
        return Node(node.place, left)
    if isinstance(content, list):
        # Cutting moves the rest of a list up.
        kept = [(index, child) for index, child in enumerate(content) if (*path, index) not in cuts]
        return Node(node.place, [_kept(child, (*path, index), cuts) for index, child in kept])
    return node


class _Refused(Exception):
    def __init__(self, code: str, message: str, mark: Mark, hint: str = "") -> None:
        self.finding = (code, message, mark, hint)
        super().__init__(message)


_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"(?:null|Null|NULL|~|)\Z"), lambda _: None),
    (re.compile(r"(?:true|True|TRUE)\Z"), lambda _: True),
    (re.compile(r"(?:false|False|FALSE)\Z"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,18}\Z"), int),
    (re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?\Z"), float),
)
"""The core schema's implicit types, https://yaml.org/spec/1.2.2/#103-core-schema, bounded in length."""


def read(source: str, findings: Findings) -> Document | None:
    """The source as data, or None after telling `findings` why not."""
    if len(source) > LARGEST_SOURCE:
        message = f"The source has {len(source):,} characters; {LARGEST_SOURCE:,} are allowed."
        findings.error("too-large", message, START, "Split it into several flows.")
        return None
    try:
        root = _compose(source, findings)
    except _Refused as refused:
        findings.error(*refused.finding)
        return None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        findings.error("syntax", *_syntax(error, source))
        return None
    return Document(_data(root), root)


def _syntax(error: Exception, source: str) -> tuple[str, Mark, str]:
    if not isinstance(error, yaml.MarkedYAMLError):
        problem = " ".join(str(error).split())
        return (
            f"This is not YAML: {problem}.",
            START,
            "Save the file as UTF-8 text without control characters.",
        )
    mark = error.problem_mark or error.context_mark
    if mark and error.context_mark and mark.line >= len(source.splitlines()):
        mark = error.context_mark  # the end of the file shows nothing; what was never closed begins here
    place = Mark(mark.line + 1, mark.column + 1) if mark else START
    problem = error.problem or "unreadable"
    hint = "Check the indentation, the colons and the quotes on this line and the one before."
    if "cannot start any token" in problem or "tab character" in problem:
        hint = "A tab cannot indent, and text that begins with a special character needs quotes."
    if "flow mapping" in (error.context or ""):
        hint = "Between { and }, a text with a comma or a brace in it needs quotes."
    context = f" ({error.context})" if error.context else ""
    return f"This is not YAML: {problem}{context}.", place, hint


def _compose(source: str, findings: Findings) -> Node:
    # The same reader in Python where libyaml is missing.
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(source)
    try:
        return _Composer(parser.get_event, findings).document()
    finally:
        parser.dispose()


class _Composer:
    """Builds nodes from parser events. A large flow has hundreds of thousands: every line here counts."""

    def __init__(self, event: Callable[[], Any], findings: Findings) -> None:
        self._event = event
        self._findings = findings
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self) -> Node:
        root: Node | None = None
        while not isinstance(event := self._event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.StreamStartEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise _refused("several-documents", "A file holds one document.", event)
                continue
            root = self._node(event, 0)
        return root or Node(None, None)

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if kind is yaml.AliasEvent:
            if event.anchor not in self._anchors:
                raise _refused("syntax", f"There is no anchor &{event.anchor} before this.", event)
            return self._checked(self._anchors[event.anchor], event, depth)
        if event.tag is not None and event.tag != "!":
            raise _refused("tag", f"The tag {event.tag} is not understood.", event, "Remove it.")
        if depth > DEEPEST:
            raise _refused("too-deep", f"More than {DEEPEST} levels of lists and mappings.", event)
        self._count += 1
        if self._count > 2 * MOST_NODES:  # keys are no nodes of the tree
            raise _refused("too-large", f"More than {MOST_NODES:,} values.", event)
        if kind is yaml.ScalarEvent:
            node = _scalar(event)
        elif kind is yaml.SequenceStartEvent:
            node = self._checked(self._sequence(event.start_mark, depth), event, depth)
        else:
            node = self._checked(self._mapping(event.start_mark, depth), event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    @staticmethod
    def _checked(node: Node, event: Any, depth: int) -> Node:
        if node.size > MOST_NODES:
            raise _refused("too-large", f"More than {MOST_NODES:,} values, aliases counted in full.", event)
        if depth + node.height > DEEPEST:
            raise _refused("too-deep", f"More than {DEEPEST} levels of lists and mappings.", event)
        return node

    def _sequence(self, place: Any, depth: int) -> Node:
        items: list[Node] = []
        size, height = 1, 0
        while type(event := self._event()) is not yaml.SequenceEndEvent:
            node = self._node(event, depth + 1)
            items.append(node)
            size += node.size
            height = max(height, node.height)
        return Node(place, items, size=size, height=height + 1)

    def _mapping(self, place: Any, depth: int) -> Node:
        entries: dict[str, tuple[Any, Node]] = {}
        size, height = 1, 0
        while type(event := self._event()) is not yaml.MappingEndEvent:
            key = event.value if _is_plain_key(event) else self._node(event, depth + 1).content
            node = self._node(self._event(), depth + 1)
            if not isinstance(key, str):
                mark = _mark(event.start_mark)
                self._findings.error("wrong-type", "A key is text.", mark, "Put it in quotes.")
            elif key in entries:
                message = f'"{key}" is there twice; the first is on line {_mark(entries[key][0]).line}.'
                mark = _mark(event.start_mark)
                self._findings.error("duplicate-key", message, mark, "Remove or rename one of them.")
            else:
                entries[key] = (event.start_mark, node)
                size += node.size
                height = max(height, node.height)
        return Node(place, entries, size=size, height=height + 1)


def _refused(code: str, message: str, event: Any, hint: str = "") -> _Refused:
    return _Refused(code, message, _mark(event.start_mark), hint)


def _mark(place: Any) -> Mark:
    return Mark(place.line + 1, place.column + 1) if place else START


_TEXTUAL = frozenset("abcdeghijklmopqrsuvwxyzABCDEGHIJKLMOPQRSUVWXYZ$_")
"""First characters with which a plain scalar is text for certain."""


def _is_plain_key(event: Any) -> bool:
    """Whether a key is text and no more, as nearly all are."""
    return (
        type(event) is yaml.ScalarEvent
        and event.value[:1] in _TEXTUAL
        and event.tag is None
        and event.anchor is None
    )


def _scalar(event: Any) -> Node:
    text: str = event.value
    if event.style in ("", None):
        if text[:1] not in _TEXTUAL:
            for pattern, convert in _PLAIN:
                if pattern.match(text):
                    return Node(event.start_mark, convert(text))
        return Node(event.start_mark, text)
    return Node(event.start_mark, text, quoted=event.style in ("'", '"'))


def _data(node: Node) -> object:
    content = node.content
    if isinstance(content, dict):
        return {key: _data(child) for key, (_, child) in content.items()}
    if isinstance(content, list):
        return [_data(child) for child in content]
    return content
