"""Which files a path on the command line means, and whether they contain flows or conversation tests."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from clawdbot_servicekit.errors import StartupError

SUFFIXES: Final = (".yaml", ".yml")
STDIN: Final = "<stdin>"
MAX_READ_BYTES: Final = 64 * 1024 * 1024
"""Of one file: far more than a flow may have, so that the diagnostic can state the size of a large one."""
SKIPPED_FOLDERS: Final = frozenset({"node_modules", "__pycache__"})
"""Folders that are not searched; neither are those whose names start with a dot."""

_CONVERSATIONS = re.compile(rb"^conversations[ \t]*:", re.MULTILINE)
_FLOW = re.compile(rb"""^[ \t{]*["']?(?:flow|states)["']?[ \t]*:""", re.MULTILINE)
_NAME = re.compile(r"""^(?:\{[ \t]*)?["']?flow["']?[ \t]*:[ \t]*["']?([\w-]+)""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and its content."""

    file: str
    """Its name in messages."""
    content: bytes

    @property
    def kind(self) -> Literal["flow", "conversations", "other"]:
        """What it contains, by its name and its top-level keys."""
        if re.search(r"\.test\.ya?ml$", self.file) or _CONVERSATIONS.search(self.content):
            return "conversations"
        return "flow" if _FLOW.search(self.content) else "other"

    @property
    def text(self) -> str:
        """Its text; bytes that are not UTF-8 are replaced."""
        return self.content.decode(errors="replace")

    @property
    def flow(self) -> str:
        """The name of the flow that it defines or tests; empty if it names none."""
        found = _NAME.search(self.text)
        return found[1] if found else ""


def find_files(paths: Iterable[str]) -> Iterator[SourceFile]:
    """The files that paths mean: of a folder, every YAML file with a flow or conversations; "-" is stdin.

    Raises:
        StartupError: a path does not exist, or cannot be read.
    """
    seen: set[Path] = set()
    for name in paths:
        if name == "-":
            yield SourceFile(STDIN, sys.stdin.buffer.read(MAX_READ_BYTES + 1))
            continue
        path = Path(name)
        for file in yaml_files(path) if path.is_dir() else [path]:
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            found = read_file(file)
            if found.kind != "other" or file == path:
                yield found


def require_files(paths: Iterable[str]) -> list[SourceFile]:
    """The same; there is at least one.

    Raises:
        StartupError: there is none.
    """
    found = list(find_files(paths))
    if not found:
        raise StartupError(f"There is no flow and no conversation test in {', '.join(paths)}.")
    return found


def yaml_files(folder: Path) -> Iterator[Path]:
    """The YAML files in a folder and its subfolders, sorted by name."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each[0] != "." and each not in SKIPPED_FOLDERS)
        yield from (Path(parent) / name for name in sorted(names) if name.endswith(SUFFIXES))


def read_file(path: Path) -> SourceFile:
    """A file, or the first MAX_READ_BYTES of a larger one.

    Raises:
        StartupError: it does not exist, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return SourceFile(str(path), file.read(MAX_READ_BYTES + 1))
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror}.") from None
