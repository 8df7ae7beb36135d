"""YAML with positions: a source becomes plain data, and the place of every key and value is kept.

Reads the core schema of YAML 1.2, so `on`, `no` and `12:30` are text and a date stays text. Refuses duplicate
keys, tags, and whatever would take much time or memory: size, depth and the number of nodes after aliases are
bounded. Works on parser events, since PyYAML's own composer recurses and a deep document would exhaust the
stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from clawdbot_dialogue.core.flow.diagnostics import START, Findings, Mark

LARGEST_SOURCE = 1024 * 1024
"""Characters of a source."""
MOST_NODES = 200_000
"""Keys and values, each alias counted as what it stands for: about 10,000 states."""
DEEPEST = 32
"""Levels of lists and mappings; a flow needs about 6."""

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A source as data."""

    data: object
    """Nested dict, list, str, int, float, bool, None."""
    values: Mapping[Path, Mark]
    """Where each value begins."""
    keys: Mapping[Path, Mark]
    """Where each key of a mapping begins."""
    quoted: frozenset[Path]
    """Values that stand in quotes."""

    def at(self, path: Path) -> Mark:
        """Where the value begins; where it has none, its nearest ancestor."""
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, START)

    def key_at(self, path: Path) -> Mark:
        """Where the key begins; for what has no key, where the value does."""
        return self.keys.get(path) or self.at(path)

    def without(self, cuts: Collection[Path]) -> Document:
        """The document without some of its values; the rest keeps its places."""
        origins: dict[Path, Path] = {}
        data = _kept(self.data, (), (), cuts, origins)
        return Document(
            data,
            {path: self.values[origin] for path, origin in origins.items() if origin in self.values},
            {path: self.keys[origin] for path, origin in origins.items() if origin in self.keys},
            frozenset(path for path, origin in origins.items() if origin in self.quoted),
        )

    def inside(self, path: Path, offset: int) -> Mark:
        """Where a character of a text begins; exact for one-line text, which expressions are."""
        mark = self.at(path)
        return Mark(mark.line, mark.column + offset + (path in self.quoted))


def _kept(
    data: object, path: Path, origin: Path, cuts: Collection[Path], origins: dict[Path, Path]
) -> object:
    """Copies what is not cut, noting where each value came from: cutting moves the rest of a list up."""
    origins[path] = origin
    if isinstance(data, dict):
        return {
            key: _kept(value, (*path, key), (*origin, key), cuts, origins)
            for key, value in data.items()
            if (*origin, key) not in cuts
        }
    if isinstance(data, list):
        left = [(index, value) for index, value in enumerate(data) if (*origin, index) not in cuts]
        return [
            _kept(value, (*path, at), (*origin, index), cuts, origins)
            for at, (index, value) in enumerate(left)
        ]
    return data


@dataclass(slots=True)
class _Node:
    mark: Mark
    content: object
    """A scalar's value; a list of nodes; a dict of key → (key's mark, node)."""
    quoted: bool = False
    size: int = 1
    """Nodes in it, itself included."""
    height: int = 0
    """Levels below it."""


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
    values: dict[Path, Mark] = {}
    keys: dict[Path, Mark] = {}
    quoted: set[Path] = set()
    data = _data(root, (), values, keys, quoted)
    return Document(data, values, keys, frozenset(quoted))


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


def _compose(source: str, findings: Findings) -> _Node:
    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # the same reader in Python where libyaml is missing
    return _Composer(yaml.parse(source, Loader=loader), findings).document()


class _Composer:
    """Builds nodes from parser events."""

    def __init__(self, events: Iterator[yaml.Event], findings: Findings) -> None:
        self._events = events
        self._findings = findings
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node:
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise _Refused("several-documents", "A file holds one document.", _mark(event))
                continue
            root = self._node(event, 0)
        return root or _Node(START, None)

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        mark = _mark(event)
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor not in self._anchors:
                raise _Refused("syntax", f"There is no anchor &{anchor} before this.", mark)
            return self._checked(self._anchors[anchor], mark, depth)
        if tag not in (None, "!"):
            raise _Refused("tag", f"The tag {tag} is not understood.", mark, "Remove it.")
        if depth > DEEPEST:
            raise _Refused("too-deep", f"More than {DEEPEST} levels of lists and mappings.", mark)
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event, mark)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(mark, depth)
        else:
            node = self._mapping(mark, depth)
        if anchor:
            self._anchors[anchor] = node
        return self._checked(node, mark, depth)

    @staticmethod
    def _checked(node: _Node, mark: Mark, depth: int) -> _Node:
        if node.size > MOST_NODES:
            raise _Refused("too-large", f"More than {MOST_NODES:,} values, aliases counted in full.", mark)
        if depth + node.height > DEEPEST:
            raise _Refused("too-deep", f"More than {DEEPEST} levels of lists and mappings.", mark)
        return node

    def _sequence(self, mark: Mark, depth: int) -> _Node:
        items: list[_Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return _parent(mark, items, items)

    def _mapping(self, mark: Mark, depth: int) -> _Node:
        entries: dict[str, tuple[Mark, _Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, key_mark = self._node(event, depth + 1), _mark(event)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key.content, str):
                self._findings.error("wrong-type", "A key is text.", key_mark, "Put it in quotes.")
            elif key.content in entries:
                first = entries[key.content][0]
                message = f'"{key.content}" is there twice; the first is on line {first.line}.'
                self._findings.error("duplicate-key", message, key_mark, "Remove or rename one of them.")
            else:
                entries[key.content] = (key_mark, value)
        return _parent(mark, entries, [node for _, node in entries.values()])


def _parent(mark: Mark, content: object, children: list[_Node]) -> _Node:
    size = 1 + sum(child.size for child in children)
    return _Node(mark, content, size=size, height=1 + max((child.height for child in children), default=0))


def _mark(event: yaml.Event) -> Mark:
    mark = event.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else START


def _scalar(event: yaml.ScalarEvent, mark: Mark) -> _Node:
    if event.style in ("", None):
        for pattern, convert in _PLAIN:
            if pattern.match(event.value):
                return _Node(mark, convert(event.value))
    return _Node(mark, event.value, quoted=event.style in ("'", '"'))


def _data(
    node: _Node, path: Path, values: dict[Path, Mark], keys: dict[Path, Mark], quoted: set[Path]
) -> object:
    values[path] = node.mark
    if node.quoted:
        quoted.add(path)
    content = node.content
    if isinstance(content, list):
        return [_data(child, (*path, index), values, keys, quoted) for index, child in enumerate(content)]
    if isinstance(content, dict):
        keys.update({(*path, key): mark for key, (mark, _) in content.items()})
        return {key: _data(child, (*path, key), values, keys, quoted) for key, (_, child) in content.items()}
    return content
