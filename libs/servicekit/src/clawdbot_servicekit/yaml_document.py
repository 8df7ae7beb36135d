"""YAML with positions: turns a source into nodes that know where every key and value is written.

Reads the core schema of YAML 1.2, so `on`, `no` and `12:30` are text, and a date stays text. Refuses tags,
and anything that would take much time or memory: size, depth and the number of nodes, aliases expanded, are
limited. Works on parser events, because PyYAML's own composer recurses, and a deep document would exhaust
the stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import yaml

MAX_SOURCE_LENGTH: Final = 4 * 1024 * 1024
"""Characters of a source: 400 for each of 10,000 states of a flow."""
MAX_NODES: Final = 300_000
"""Keys and values, each alias counted as the nodes it expands to: 30 for each of 10,000 states."""
MAX_DEPTH: Final = 32
"""Levels of lists and mappings; a flow needs about 6."""


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


class YamlError(Exception):
    """What is wrong with a source, and where."""

    def __init__(self, code: str, message: str, mark: Any, hint: str = "", *, key: str = "") -> None:
        self.code = code
        """One of syntax, tag, too-deep, too-large, several-documents, recursive-alias, key-not-text and
        duplicate-key."""
        self.message = message
        """A sentence."""
        self.line, self.column = position(mark)
        self.hint = hint
        """What to do about it; may be empty."""
        self.key = key
        """The key that is written twice."""
        super().__init__(message)


def refuse(error: YamlError) -> NoReturn:
    """A `report` of read_yaml that puts up with nothing."""
    raise error


def read_yaml(source: str, report: Callable[[YamlError], None], *, keys_as_written: bool = False) -> Node:
    """The source's only document; a node of None if it is empty.

    Args:
        source: the text.
        report: gets every key that is not text or is written twice. If it returns, the key is left out.
        keys_as_written: a key such as 8080 or true is the text that is written there. Otherwise it is not
            text.

    Raises:
        YamlError: for anything else that is wrong.
    """
    if len(source) > MAX_SOURCE_LENGTH:
        message = f"The file has {len(source):,} characters; at most {MAX_SOURCE_LENGTH:,} are allowed."
        raise YamlError("too-large", message, None)
    # The same parser in Python if libyaml is missing.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        parser = loader(source)
        try:
            return _Composer(parser.get_event, report, keys_as_written=keys_as_written).document()
        finally:
            parser.dispose()
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise _syntax_error(error, source) from None


def position(mark: Any) -> tuple[int, int]:
    """The line and column of a parser's mark, from 1; the start if there is none."""
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def plain_data(node: Node) -> object:
    """Nested dict, list, str, int, float, bool, None."""
    content = node.content
    if isinstance(content, dict):
        return {key: plain_data(child) for key, (_, child) in content.items()}
    if isinstance(content, list):
        return [plain_data(child) for child in content]
    return content


_PLAIN_SCALARS: Final[tuple[tuple[re.Pattern[str], Callable[[str], object]], ...]] = (
    (re.compile(r"(?:null|Null|NULL|~|)\Z"), lambda _: None),
    (re.compile(r"(?:true|True|TRUE)\Z"), lambda _: True),
    (re.compile(r"(?:false|False|FALSE)\Z"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,18}\Z"), int),
    (re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?\Z"), float),
)
"""The core schema's implicit types (https://yaml.org/spec/1.2.2/#103-core-schema), limited in length."""


def _syntax_error(error: Exception, source: str) -> YamlError:
    if not isinstance(error, yaml.MarkedYAMLError):
        message = "This is not valid YAML: it has a character that text cannot have."
        return YamlError("syntax", message, None, "Save the file as UTF-8 text without control characters.")
    mark = error.problem_mark or error.context_mark
    if mark and error.context_mark and mark.line >= len(source.splitlines()):
        mark = error.context_mark  # the end of the file shows nothing; the unclosed value begins here
    problem = error.problem or "unreadable"
    hint = "Check the indentation, the colons and the quotes on this line and the one before."
    if "cannot start any token" in problem or "tab character" in problem:
        hint = "Indent with spaces, not tabs, and put text that begins with a special character in quotes."
    if "flow mapping" in (error.context or ""):
        hint = "Between { and }, put text that contains a comma or a brace in quotes."
    reported = f"{problem} {error.context or ''}"
    words = next((words for part, words in _PROBLEMS.items() if part in reported), _OTHER_PROBLEM)
    return YamlError("syntax", f"This is not valid YAML: {words}.", mark, hint)


_PROBLEMS: Final = {
    "mapping values are not allowed": "a colon is where no key can be; put text that contains one in quotes",
    "expected ':'": "a key has no colon after it",
    "',' or '}'": "a comma or a closing } is missing",
    "',' or ']'": "a comma or a closing ] is missing",
    "flow mapping": "a mapping in { } is not complete",
    "flow sequence": "a list in [ ] is not complete",
    "flow node": "a list in [ ] or a mapping in { } is not complete",
    "quoted scalar": "a text in quotes is not complete, or has a backslash that means nothing",
    "tab character": "it is indented with a tab",
    "cannot start any token": "no text can begin with this character",
    "undefined alias": "an alias names an anchor that does not exist",
    "anchor": "an anchor or an alias is not complete",
    "tag": "a tag is not complete",
    "directive": "a line that begins with % is not a directive",
    "block scalar": "the text after | or > is not indented as its first line is",
    "block entry": "an entry of a list is where no list can be",
    "block sequence": "the indentation does not fit the list above",
    "sequence entries are not allowed": "an entry of a list is where no list can be",
    "block mapping": "the indentation does not fit the keys above",
    "document start": "the text goes on where it should have ended",
}
"""Part of what PyYAML or libyaml reports → what is wrong; the first that fits."""
_OTHER_PROBLEM: Final = "its structure cannot be read here"


_TOO_DEEP: Final = f"Lists and mappings are nested more than {MAX_DEPTH} levels deep."


class _Composer:
    """Builds nodes from parser events. A large flow has hundreds of thousands, so every line here matters."""

    def __init__(
        self, event: Callable[[], Any], report: Callable[[YamlError], None], *, keys_as_written: bool
    ) -> None:
        self._event = event
        self._report = report
        self._keys_as_written = keys_as_written
        self._anchors: dict[str, Node] = {}
        self._open_anchors: dict[str, Any] = {}
        """Anchor of a node that is being read → the node's mark."""
        self._count = 0

    def document(self) -> Node:
        root: Node | None = None
        while not isinstance(event := self._event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.StreamStartEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    message = "A file can hold only one YAML document."
                    raise YamlError(
                        "several-documents", message, event.start_mark, "Move it to a file of its own."
                    )
                continue
            root = self._node(event, 0)
        return root or Node(None, None)

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._checked(self._anchored(event), event, depth)
        if event.tag is not None and event.tag != "!":
            raise YamlError(
                "tag", f"The YAML tag {event.tag} is not supported.", event.start_mark, "Remove it."
            )
        if depth > MAX_DEPTH:
            raise YamlError("too-deep", _TOO_DEEP, event.start_mark)
        self._count += 1
        if self._count > 2 * MAX_NODES:  # complex keys are counted, but are not nodes of the tree
            raise YamlError("too-large", f"There are more than {MAX_NODES:,} values.", event.start_mark)
        if event.anchor:
            self._open_anchors[event.anchor] = event.start_mark
        if kind is yaml.ScalarEvent:
            node = _scalar(event)
        elif kind is yaml.SequenceStartEvent:
            node = self._checked(self._sequence(event.start_mark, depth), event, depth)
        else:
            node = self._checked(self._mapping(event.start_mark, depth), event, depth)
        if event.anchor:
            self._open_anchors.pop(event.anchor, None)
            self._anchors[event.anchor] = node
        return node

    def _anchored(self, event: Any) -> Node:
        if event.anchor in self._open_anchors:
            mark = self._open_anchors[event.anchor]
            raise YamlError("recursive-alias", "An alias must not contain itself.", mark)
        if event.anchor not in self._anchors:
            message = f"The anchor &{event.anchor} is not defined before it is used."
            raise YamlError("syntax", message, event.start_mark, "Define it above, or write the value here.")
        return self._anchors[event.anchor]

    @staticmethod
    def _checked(node: Node, event: Any, depth: int) -> Node:
        if node.size > MAX_NODES:
            message = f"With aliases expanded there are more than {MAX_NODES:,} values."
            raise YamlError("too-large", message, event.start_mark)
        if depth + node.height > MAX_DEPTH:
            raise YamlError("too-deep", _TOO_DEEP, event.start_mark)
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
            key = self._key(event, depth)
            node = self._node(self._event(), depth + 1)
            if not isinstance(key, str):
                mark = event.start_mark
                self._report(YamlError("key-not-text", "A key must be text.", mark, "Put it in quotes."))
            elif key in entries:
                first, _ = position(entries[key][0])
                message = f'The key "{key}" is written twice; the first is on line {first}.'
                hint = "Remove or rename one of them."
                self._report(YamlError("duplicate-key", message, event.start_mark, hint, key=key))
            else:
                entries[key] = (event.start_mark, node)
                size += node.size
                height = max(height, node.height)
        return Node(start, entries, size=size, height=height + 1)

    def _key(self, event: Any, depth: int) -> object:
        if _is_plain_key(event):
            return event.value
        node = self._node(event, depth + 1)
        return event.value if self._keys_as_written and type(event) is yaml.ScalarEvent else node.content


_TEXT_INITIALS: Final = frozenset("abcdeghijklmopqrsuvwxyzABCDEGHIJKLMOPQRSUVWXYZ$_")
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
