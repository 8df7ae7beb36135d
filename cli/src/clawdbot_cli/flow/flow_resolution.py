"""Finds the flows that a file names: near the file, among those given with it, and among those shipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clawdbot_dialogue.flow_toolkit import (
    Flow,
    FlowNotFound,
    FlowRegistry,
    FlowVersionExists,
    shipped_flows,
    validate_flow,
)
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.file_discovery import STDIN, SUFFIXES, SourceFile, read_file


class FlowResolver:
    """Finds flows by name for one file, along a search path. Only flows that are asked for are compiled."""

    def __init__(self, search_path: Sequence[Sequence[SourceFile]]) -> None:
        """Takes groups of flow files; the first group that has the name wins."""
        self._search_path = search_path
        self._registries: dict[str, FlowRegistry] = {}

    @property
    def names(self) -> set[str]:
        """The names of all flows."""
        return {source.flow for group in self._search_path for source in group} - {""}

    def get(self, name: str, version: int | None = None, /) -> Flow:
        """A flow, the newest version for None.

        Raises:
            FlowNotFound: it does not exist.
            StartupError: it has errors; the message lists them.
        """
        if name not in self._registries:
            registry = FlowRegistry()
            for source in self._first_group(name):
                _add(registry, source)
            self._registries[name] = registry
        return self._registries[name].get(name, version)

    def get_usable(self, names: Iterable[str]) -> Mapping[str, Flow]:
        """Those of the flows that exist and have no errors."""
        found: dict[str, Flow] = {}
        for name in names:
            try:
                found[name] = self.get(name)
            except (FlowNotFound, StartupError):
                continue  # reported where that flow itself is checked
        return found

    def _first_group(self, name: str) -> Sequence[SourceFile]:
        for group in self._search_path:
            if found := [source for source in group if source.flow == name]:
                return found
        return ()


class FlowResolvers:
    """One FlowResolver for each folder."""

    def __init__(self, given: Iterable[SourceFile] = ()) -> None:
        """Takes the files of the command line; their flows come before the shipped ones."""
        self._given = [source for source in given if source.kind == "flow"]
        self._shipped = [SourceFile(file, text.encode()) for file, text in shipped_flows()]
        self._resolvers: dict[Path | None, FlowResolver] = {}

    def for_file(self, source: SourceFile) -> FlowResolver:
        """Searches the file's folder, its direct subfolders, its parent, and then given and shipped flows."""
        folder = None if source.file == STDIN else Path(source.file).resolve().parent
        if folder not in self._resolvers:
            near = _nearby(folder) if folder else []
            self._resolvers[folder] = FlowResolver([*near, self._given, self._shipped])
        return self._resolvers[folder]


def _nearby(folder: Path) -> list[Sequence[SourceFile]]:
    return [_flows(folder.iterdir()), _flows(folder.glob("*/*")), _flows(folder.parent.iterdir())]


def _flows(paths: Iterable[Path]) -> Sequence[SourceFile]:
    files = (
        read_file(_relative(path)) for path in sorted(paths) if path.suffix in SUFFIXES and path.is_file()
    )
    return [source for source in files if source.kind == "flow"]


def _relative(path: Path) -> Path:
    """The path relative to the working directory, if it is in there: as a person would write it."""
    cwd = Path.cwd()
    return path.relative_to(cwd) if path.is_relative_to(cwd) else path


def _add(registry: FlowRegistry, source: SourceFile) -> None:
    result = validate_flow(source.content, source.file)
    if result.flow is None:
        lines = source.text.splitlines()
        errors = [each.render_with_lines(lines) for each in result.diagnostics if each.severity == "error"]
        raise StartupError("\n".join([*errors, f"The flow {source.file} cannot be used. Fix these errors."]))
    try:
        registry.add(result.flow)
    except FlowVersionExists as error:
        raise StartupError(f"{source.file}: {error}. Give one of them another version.") from None
