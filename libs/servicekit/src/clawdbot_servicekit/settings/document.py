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

import yaml

from clawdbot_servicekit.errors import StartupError

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top: ("auth", "keys", 0, "tenant")."""

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
        text = path.read_text(encoding="utf-8")
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
        return _parse(text, name, environ, ignored)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise StartupError(f"{where}: not valid YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise StartupError(f"{name}: not valid YAML: {str(error).splitlines()[0]}.") from None


def _parse(text: str, name: str, environ: Mapping[str, str], ignored: Container[str]) -> Document:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document()
        if not isinstance(node, yaml.MappingNode):
            raise StartupError(f"{name}:1: expected lines such as `server: {{port: 8080}}` at the top level.")
        reader = _NodeReader(name, environ, loader)
        return Document(reader.read_mapping(node, (), ignored), reader.origins)
    finally:
        loader.dispose()


class _NodeReader:
    """Turns YAML nodes into values and records where each came from."""

    def __init__(self, name: str, environ: Mapping[str, str], loader: yaml.SafeLoader) -> None:
        self._name = name
        self._environ = environ
        self._loader = loader
        self._open: set[int] = set()
        self.origins: dict[KeyPath, str] = {}

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        if path:
            self.origins.setdefault(path, self._position(node))
        if isinstance(node, yaml.ScalarNode):
            value = self._loader.construct_object(node)
            return self._expand(value, node) if isinstance(value, str) else value
        if id(node) in self._open:
            raise StartupError(f"{self._position(node)}: an alias must not contain itself.")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.read_mapping(node, path)
            return [self.read(each, (*path, index)) for index, each in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def read_mapping(
        self, node: yaml.MappingNode, path: KeyPath, ignored: Container[str] = ()
    ) -> dict[str, Any]:
        self._refuse_duplicates(node)
        self._loader.flatten_mapping(node)
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # The text as written: YAML would read `on` as true and 8080 as a number.
            key = str(key_node.value)
            if key in ignored:
                continue
            self.origins[(*path, key)] = self._position(key_node)
            values[key] = self.read(value_node, (*path, key))
        return values

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        """Must run before << is resolved, which may repeat a key on purpose."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise StartupError(f"{self._position(key_node)}: a key must be plain text.")
            if key_node.value in seen:
                raise StartupError(
                    f"{self._position(key_node)}: the key {key_node.value} is given twice; keep one."
                )
            seen.add(key_node.value)

    def _expand(self, text: str, node: yaml.Node) -> str:
        def value(match: re.Match[str]) -> str:
            if match[2] is None:
                return "${"  # written as $${ for a literal ${
            if match[2] not in self._environ:
                raise StartupError(
                    f"{self._position(node)}: the environment variable {match[2]} is not set; "
                    "set it, or write $${ for a literal ${."
                )
            return self._environ[match[2]]

        return _VARIABLE.sub(value, text)

    def _position(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"
