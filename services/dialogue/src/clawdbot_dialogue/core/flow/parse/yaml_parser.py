"""YAML with positions: turns a source into plain data, and keeps the position of every key and value.

Reads the core schema of YAML 1.2, so `on`, `no` and `12:30` are text, and a date stays text. Rejects
duplicate keys, tags, and anything that would take much time or memory: size, depth and the number of nodes,
aliases expanded, are limited. Works on parser events, because PyYAML's own composer recurses, and a deep
document would exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from clawdbot_dialogue.core.flow.diagnostics import START, DiagnosticCollector, Mark

MAX_SOURCE_LENGTH = 4 * 1024 * 1024
"""Characters of a source: 400 for each of 10,000 states."""
MAX_NODES = 300_000
"""Keys and values, each alias counted as the nodes it expands to: 30 for each of 10,000 states."""
MAX_DEPTH = 32
"""Levels of lists and mappings; a flow needs about 6."""

Path: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A value of a source, and its position."""

    mark: Any
    """The parser's mark, which counts lines and columns from 0; None for an empty source."""
    content: object
    """A scalar's value; a list of nodes; a dict of key → (the key's mark, node)."""
    quoted: bool = False
    size: int = 1
    """The number of nodes in it, itself included."""
    height: int = 0
    """Levels below it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A source as data."""

    data: object
    """Nested dict, list, str, int, float, bool, None."""
    root: Node

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
        return Document(_data(root), root)

    def at_offset(self, path: Path, offset: int) -> Mark:
        """Where a character of a text is; exact for text on one line, as expressions usually are."""
        node, found = self._node(path)
        mark = _mark(node.mark)
        return Mark(mark.line, mark.column + offset + (found and node.quoted))

    def without(self, cuts: Collection[Path]) -> Document:
        """The document without some of its values; the others keep their positions."""
        root = _without(self.root, (), cuts)
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


class _ParseError(Exception):
    def __init__(self, code: str, message: str, mark: Mark, hint: str = "") -> None:
        self.diagnostic = (code, message, mark, hint)
        super().__init__(message)


_PLAIN_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"(?:null|Null|NULL|~|)\Z"), lambda _: None),
    (re.compile(r"(?:true|True|TRUE)\Z"), lambda _: True),
    (re.compile(r"(?:false|False|FALSE)\Z"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,18}\Z"), int),
    (re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?\Z"), float),
)
"""The core schema's implicit types (https://yaml.org/spec/1.2.2/#103-core-schema), limited in length."""


def parse_yaml(source: str, diagnostics: DiagnosticCollector) -> Document | None:
    """The source as data; None if it is not a YAML document, which is reported to `diagnostics`."""
    if len(source) > MAX_SOURCE_LENGTH:
        message = f"The file has {len(source):,} characters; at most {MAX_SOURCE_LENGTH:,} are allowed."
        diagnostics.error("too-large", message, START, _SPLIT)
        return None
    try:
        root = _compose(source, diagnostics)
    except _ParseError as error:
        diagnostics.error(*error.diagnostic)
        return None
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        diagnostics.error("syntax", *_syntax_error(error, source))
        return None
    return Document(_data(root), root)


def _syntax_error(error: Exception, source: str) -> tuple[str, Mark, str]:
    if not isinstance(error, yaml.MarkedYAMLError):
        problem = " ".join(str(error).split())
        return (
            f"This is not valid YAML: {problem}.",
            START,
            "Save the file as UTF-8 text without control characters.",
        )
    mark = error.problem_mark or error.context_mark
    if mark and error.context_mark and mark.line >= len(source.splitlines()):
        mark = error.context_mark  # the end of the file shows nothing; the unclosed value begins here
    start = Mark(mark.line + 1, mark.column + 1) if mark else START
    problem = error.problem or "unreadable"
    hint = "Check the indentation, the colons and the quotes on this line and the one before."
    if "cannot start any token" in problem or "tab character" in problem:
        hint = "Indent with spaces, not tabs, and put text that begins with a special character in quotes."
    if "flow mapping" in (error.context or ""):
        hint = "Between { and }, put text that contains a comma or a brace in quotes."
    context = f" ({error.context})" if error.context else ""
    return f"This is not valid YAML: {problem}{context}.", start, hint


def _compose(source: str, diagnostics: DiagnosticCollector) -> Node:
    # The same parser in Python if libyaml is missing.
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(source)
    try:
        return _Composer(parser.get_event, diagnostics).document()
    finally:
        parser.dispose()


_SPLIT = "Split it into several flows."
_TOO_DEEP = f"Lists and mappings are nested more than {MAX_DEPTH} levels deep."


class _Composer:
    """Builds nodes from parser events. A large flow has hundreds of thousands, so every line here matters."""

    def __init__(self, event: Callable[[], Any], diagnostics: DiagnosticCollector) -> None:
        self._event = event
        self._diagnostics = diagnostics
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self) -> Node:
        root: Node | None = None
        while not isinstance(event := self._event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.StreamStartEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    message = "A file can hold only one YAML document."
                    raise _parse_error("several-documents", message, event, "Move it to a file of its own.")
                continue
            root = self._node(event, 0)
        return root or Node(None, None)

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if kind is yaml.AliasEvent:
            if event.anchor not in self._anchors:
                message = f"The anchor &{event.anchor} is not defined before it is used."
                raise _parse_error("syntax", message, event, "Define it above, or write the value here.")
            return self._checked(self._anchors[event.anchor], event, depth)
        if event.tag is not None and event.tag != "!":
            raise _parse_error("tag", f"The YAML tag {event.tag} is not supported.", event, "Remove it.")
        if depth > MAX_DEPTH:
            raise _parse_error("too-deep", _TOO_DEEP, event)
        self._count += 1
        if self._count > 2 * MAX_NODES:  # complex keys are counted, but are not nodes of the tree
            raise _parse_error("too-large", f"There are more than {MAX_NODES:,} values.", event, _SPLIT)
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
        if node.size > MAX_NODES:
            raise _parse_error(
                "too-large", f"With aliases expanded there are more than {MAX_NODES:,} values.", event, _SPLIT
            )
        if depth + node.height > MAX_DEPTH:
            raise _parse_error("too-deep", _TOO_DEEP, event)
        return node

    def _sequence(self, start: Any, depth: int) -> Node:
        items: list[Node] = []
        size, height = 1, 0
        while type(event := self._event()) is not yaml.SequenceEndEvent:
            node = self._node(event, depth + 1)
            items.append(node)
            size += node.size
            height = max(height, node.height)
        return Node(start, items, size=size, height=height + 1)

    def _mapping(self, start: Any, depth: int) -> Node:
        entries: dict[str, tuple[Any, Node]] = {}
        size, height = 1, 0
        while type(event := self._event()) is not yaml.MappingEndEvent:
            key = event.value if _is_plain_key(event) else self._node(event, depth + 1).content
            node = self._node(self._event(), depth + 1)
            if not isinstance(key, str):
                mark = _mark(event.start_mark)
                self._diagnostics.error("wrong-type", "A key must be text.", mark, "Put it in quotes.")
            elif key in entries:
                first = _mark(entries[key][0]).line
                message = f'The key "{key}" is written twice; the first is on line {first}.'
                mark = _mark(event.start_mark)
                self._diagnostics.error("duplicate-key", message, mark, "Remove or rename one of them.")
            else:
                entries[key] = (event.start_mark, node)
                size += node.size
                height = max(height, node.height)
        return Node(start, entries, size=size, height=height + 1)


def _parse_error(code: str, message: str, event: Any, hint: str = "") -> _ParseError:
    return _ParseError(code, message, _mark(event.start_mark), hint)


def _mark(parsed: Any) -> Mark:
    return Mark(parsed.line + 1, parsed.column + 1) if parsed else START


_TEXT_INITIALS = frozenset("abcdeghijklmopqrsuvwxyzABCDEGHIJKLMOPQRSUVWXYZ$_")
"""First characters of a plain scalar that is certainly text."""


def _is_plain_key(event: Any) -> bool:
    """Whether a key is a plain text scalar, as nearly all are."""
    return (
        type(event) is yaml.ScalarEvent
        and event.value[:1] in _TEXT_INITIALS
        and event.tag is None
        and event.anchor is None
    )


def _scalar(event: Any) -> Node:
    text: str = event.value
    if event.style in ("", None):
        if text[:1] not in _TEXT_INITIALS:
            for pattern, convert in _PLAIN_SCALARS:
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
