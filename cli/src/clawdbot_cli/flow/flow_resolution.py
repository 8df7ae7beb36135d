"""The flows that a file may speak of: those near it, those given with it, and those that ship."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clawdbot_dialogue.core.flow.flow_registry import (
    FlowLibrary,
    FlowNotFound,
    FlowVersionExists,
    shipped_flows,
)
from clawdbot_dialogue.core.flow.loader import examine
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.file_discovery import KINDS, STDIN, Source, read


class Flows:
    """Finds flows by name, in the nearest of several circles, and compiles what is asked for."""

    def __init__(self, circles: Sequence[Sequence[Source]]) -> None:
        """Takes the flow files around, the nearest first."""
        self._circles = circles
        self._found: dict[str, FlowLibrary] = {}

    @property
    def names(self) -> set[str]:
        """Every flow's name."""
        return {source.flow for circle in self._circles for source in circle} - {""}

    def get(self, name: str, version: int | None = None, /) -> Flow:
        """A flow, the newest version for None.

        Raises:
            FlowNotFound: there is none.
            StartupError: there is one that cannot be used; with what is wrong.
        """
        if name not in self._found:
            library = FlowLibrary()
            for source in self._nearest(name):
                _add(library, source)
            self._found[name] = library
        return self._found[name].get(name, version)

    def usable(self, names: Iterable[str]) -> Mapping[str, Flow]:
        """Those of the names that are flows which can be used."""
        found: dict[str, Flow] = {}
        for name in names:
            try:
                found[name] = self.get(name)
            except (FlowNotFound, StartupError):
                continue  # told where it is checked itself
        return found

    def _nearest(self, name: str) -> Sequence[Source]:
        for circle in self._circles:
            if found := [source for source in circle if source.flow == name]:
                return found
        return ()


class Neighbours:
    """The flows around each of several files."""

    def __init__(self, given: Iterable[Source] = ()) -> None:
        """Takes what was given with them: flows that are not near are looked for among these."""
        self._given = [source for source in given if source.kind == "flow"]
        self._shipped = [Source(file, text.encode()) for file, text in shipped_flows()]
        self._folders: dict[Path | None, Flows] = {}

    def of(self, source: Source) -> Flows:
        """The flows around a file: in its folder, in those right below it, and in the one above."""
        folder = None if source.file == STDIN else Path(source.file).resolve().parent
        if folder not in self._folders:
            near = _around(folder) if folder else []
            self._folders[folder] = Flows([*near, self._given, self._shipped])
        return self._folders[folder]


def _around(folder: Path) -> list[Sequence[Source]]:
    return [_flows(folder.iterdir()), _flows(folder.glob("*/*")), _flows(folder.parent.iterdir())]


def _flows(paths: Iterable[Path]) -> Sequence[Source]:
    files = (read(_short(path)) for path in sorted(paths) if path.suffix in KINDS and path.is_file())
    return [source for source in files if source.kind == "flow"]


def _short(path: Path) -> Path:
    """The path from the working directory, where it is below it: as a person would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _add(library: FlowLibrary, source: Source) -> None:
    examined = examine(source.content, source.file)
    if examined.flow is None:
        lines = source.text.splitlines()
        told = [each.beside(lines) for each in examined.diagnostics if each.severity == "error"]
        raise StartupError("\n".join([*told, f"The flow {source.file} cannot be used."]))
    try:
        library.add(examined.flow)
    except FlowVersionExists as error:
        raise StartupError(f"{source.file}: {error}: give one of them another version.") from None
