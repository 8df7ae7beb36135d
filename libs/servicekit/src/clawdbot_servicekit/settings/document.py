"""Reads a YAML file into plain values, and remembers where each value came from.

It refuses what YAML accepts by accident (a duplicate key, a file that is not a mapping) and expands ${NAME}
from the environment. It does not know which keys exist.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular
from clawdbot_servicekit.validation_words import KeyPath
from clawdbot_servicekit.yaml_document import Node, YamlError, position, read_yaml, refuse

Entry = tuple[Any, Node]
"""The mark of a key, and its value."""

_VARIABLE: Final = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)\})")


@dataclass(slots=True)
class Document:
    """Values and the origin of each: "clawdbot.yaml:3" or "CLAWDBOT_SERVER__PORT"."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> str:
        """The origin of the value at the path, or of one inside it or around it; empty if there is none."""
        while path:
            for known, origin in self.origins.items():
                if known[: len(path)] == path:
                    return origin
            path = path[:-1]
        return ""

    def origin_of(self, text: str) -> str:
        """The origin of the key with which a text begins ("models.rules[0].when: …"); empty if with none.

        It follows the values, since a name may contain dots.
        """
        path: KeyPath = ()
        inner: Any = self.values
        while True:
            keys: list[str | int] = []
            if isinstance(inner, dict):
                keys = [key for key in inner if re.match(re.escape(str(key)) + r"(?=[.\[:;,]|$)", text)]
            elif isinstance(inner, list) and (found := re.match(r"\[(\d+)\]", text)):
                keys = [index for index in (int(found[1]),) if index < len(inner)]
            if not keys:
                return self.origin(path) if path else ""
            key = max(keys, key=lambda each: len(str(each)))
            inner = inner[key]
            text = text[len(f"[{key}]" if isinstance(key, int) else key) :].removeprefix(".")
            path = (*path, key)

    def has(self, path: tuple[str, ...]) -> bool:
        """Whether there is a value at the path."""
        inner: Any = self.values
        for key in path:
            if not isinstance(inner, dict) or key not in inner:
                return False
            inner = inner[key]
        return True

    def set(self, path: tuple[str, ...], value: Any, origin: str) -> None:
        """Sets one value, replacing what is there."""
        inner = self.values
        for key in path[:-1]:
            below = inner.get(key)
            if not isinstance(below, dict):
                below = inner[key] = {}
            inner = below
        inner[path[-1]] = value
        for known in [each for each in self.origins if each[: len(path)] == path]:
            del self.origins[known]
        self.origins[path] = origin


def read_document(path: Path, environ: Mapping[str, str], ignored: Container[str] = ()) -> Document:
    """The content of a file.

    Args:
        path: the YAML file.
        environ: the variables that ${NAME} may name.
        ignored: top-level keys to skip: another service's section may need variables that are not set here.

    Raises:
        StartupError: with file, line and column, if it cannot be read or is not a YAML mapping.
    """
    try:
        text = read_regular(path).decode()
    except UnicodeDecodeError:
        raise StartupError(f"{path}: not UTF-8 text; save the configuration as UTF-8.") from None
    except OSError as error:
        raise StartupError(f"{path}: cannot read the configuration: {error.strerror}.") from None
    return parse_document(text, str(path), environ, ignored)


def parse_document(
    text: str, name: str, environ: Mapping[str, str], ignored: Container[str] = ()
) -> Document:
    """The content of a text; error messages call it `name`. Otherwise like read_document."""
    try:
        root = read_yaml(text, refuse, keys_as_written=True)
    except YamlError as error:
        raise StartupError(_sentence(name, error)) from None
    if root.content is None:
        return Document()
    if not isinstance(root.content, dict):
        raise StartupError(f"{name}:1: expected lines such as `server: {{port: 8080}}` at the top level.")
    reader = _NodeReader(name, environ)
    return Document(reader.read_mapping(root.content, (), ignored), reader.origins)


def _sentence(name: str, error: YamlError) -> str:
    line = f"{name}:{error.line}"
    if error.code == "duplicate-key":
        return f"{line}: the key {error.key} is given twice; keep one."
    if error.code == "key-not-text":
        return f"{line}: a key must be plain text."
    if error.code == "recursive-alias":
        return f"{line}: an alias must not contain itself."
    return f"{line}:{error.column}: {error.message.removeprefix('This is ')}"


class _NodeReader:
    """Turns YAML nodes into values and records where each came from."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name = name
        self._environ = environ
        self.origins: dict[KeyPath, str] = {}

    def read(self, node: Node, path: KeyPath) -> Any:
        self.origins.setdefault(path, self._position(node.mark))
        content = node.content
        if isinstance(content, dict):
            return self.read_mapping(content, path)
        if isinstance(content, list):
            return [self.read(each, (*path, index)) for index, each in enumerate(content)]
        return self._expand(content, node.mark) if isinstance(content, str) else content

    def read_mapping(
        self, entries: Mapping[str, Entry], path: KeyPath, ignored: Container[str] = ()
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, (mark, node) in self._merged(entries).items():
            if key in ignored:
                continue
            self.origins[(*path, key)] = self._position(mark)
            values[key] = self.read(node, (*path, key))
        return values

    def _merged(self, entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
        """The entries, and those of the mappings that `<<` names; own and earlier ones win.

        See https://yaml.org/type/merge.html.
        """
        if "<<" not in entries:
            return entries
        own = dict(entries)
        mark, merge = own.pop("<<")
        merged: dict[str, Entry] = {}
        for each in reversed(merge.content if isinstance(merge.content, list) else [merge]):
            if not isinstance(each.content, dict):
                raise StartupError(f"{self._position(mark)}: << must name a section, or a list of sections.")
            merged.update(self._merged(each.content))
        return merged | own

    def _expand(self, text: str, mark: Any) -> str:
        def value(match: re.Match[str]) -> str:
            if match[2] is None:
                return "${"  # written as $${ for a literal ${
            if match[2] not in self._environ:
                raise StartupError(
                    f"{self._position(mark)}: the environment variable {match[2]} is not set; "
                    "set it, or write $${ for a literal ${."
                )
            return self._environ[match[2]]

        return _VARIABLE.sub(value, text)

    def _position(self, mark: Any) -> str:
        return f"{self._name}:{position(mark)[0]}"
