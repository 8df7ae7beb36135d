"""A YAML file as plain values, with the place that each value came from.

It refuses what YAML lets through by accident (a key given twice, a file that is no mapping) and puts
variables of the environment in the place of ${NAME}. It knows nothing of which keys exist.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from clawdbot_servicekit.errors import StartupError

Place = tuple[str | int, ...]
"""Keys and list positions from the top: ("auth", "keys", 0, "tenant")."""

_VARIABLE: Final = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)\})")


@dataclass(slots=True)
class Document:
    """Values and, for each, who said so: "clawdbot.yaml:3" or "CLAWDBOT_SERVER__PORT"."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)

    def origin(self, place: Place) -> str:
        """Who said what stands at the place, inside it or around it; empty where nobody did."""
        while place:
            for known, origin in self.origins.items():
                if known[: len(place)] == place:
                    return origin
            place = place[:-1]
        return ""

    def says(self, place: tuple[str, ...]) -> bool:
        """Whether there is a value at the place."""
        inner: Any = self.values
        for key in place:
            if not isinstance(inner, dict) or key not in inner:
                return False
            inner = inner[key]
        return True

    def put(self, place: tuple[str, ...], value: Any, origin: str) -> None:
        """Sets one value over whatever stands there."""
        inner = self.values
        for key in place[:-1]:
            below = inner.get(key)
            if not isinstance(below, dict):
                below = inner[key] = {}
            inner = below
        inner[place[-1]] = value
        for known in [each for each in self.origins if each[: len(place)] == place]:
            del self.origins[known]
        self.origins[place] = origin


def read_document(path: Path, environ: Mapping[str, str], ignored: Container[str] = ()) -> Document:
    """The file's content, less the top-level keys in `ignored`: what others own may need variables we lack.

    Raises:
        StartupError: with file, line and column, when it cannot be read or is no YAML mapping.
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
    """The same from a text; `name` stands for the file in errors."""
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
        reader = _Reader(name, environ, loader)
        return Document(reader.mapping(node, (), ignored), reader.origins)
    finally:
        loader.dispose()


class _Reader:
    """Turns nodes into values and notes where each came from."""

    def __init__(self, name: str, environ: Mapping[str, str], loader: yaml.SafeLoader) -> None:
        self._name = name
        self._environ = environ
        self._loader = loader
        self._open: set[int] = set()
        self.origins: dict[Place, str] = {}

    def read(self, node: yaml.Node, place: Place) -> Any:
        if place:
            self.origins.setdefault(place, self._where(node))
        if isinstance(node, yaml.ScalarNode):
            value = self._loader.construct_object(node)
            return self._expand(value, node) if isinstance(value, str) else value
        if id(node) in self._open:
            raise StartupError(f"{self._where(node)}: an alias that contains itself.")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, place)
            return [self.read(each, (*place, position)) for position, each in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, place: Place, ignored: Container[str] = ()) -> dict[str, Any]:
        self._refuse_twice(node)
        self._loader.flatten_mapping(node)
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # The text as written: YAML would read `on` as true and 8080 as a number.
            key = str(key_node.value)
            if key in ignored:
                continue
            self.origins[(*place, key)] = self._where(key_node)
            values[key] = self.read(value_node, (*place, key))
        return values

    def _refuse_twice(self, node: yaml.MappingNode) -> None:
        """Must come before << is resolved, which may repeat a key on purpose."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise StartupError(f"{self._where(key_node)}: a key must be plain text.")
            if key_node.value in seen:
                raise StartupError(
                    f"{self._where(key_node)}: the key {key_node.value} is given twice; keep one."
                )
            seen.add(key_node.value)

    def _expand(self, text: str, node: yaml.Node) -> str:
        def value(match: re.Match[str]) -> str:
            if match[2] is None:
                return "${"  # written $${ by somebody who means it literally
            if match[2] not in self._environ:
                raise StartupError(
                    f"{self._where(node)}: the environment variable {match[2]} is not set; "
                    "set it, or write $${ where you mean ${ itself."
                )
            return self._environ[match[2]]

        return _VARIABLE.sub(value, text)

    def _where(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"
