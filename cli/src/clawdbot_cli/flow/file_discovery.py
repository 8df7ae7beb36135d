"""Which files a path of the command line means, and whether they hold flows or conversations about them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from clawdbot_servicekit.errors import StartupError

KINDS: Final = (".yaml", ".yml")
STDIN: Final = "<stdin>"
LARGEST: Final = 64 * 1024 * 1024
"""Bytes that are read of a file: far more than a flow may have, so that its size is what is told."""
PASSED_OVER: Final = frozenset({"node_modules", "__pycache__"})
"""Folders without flows, besides those whose names begin with a dot."""

_CONVERSATIONS = re.compile(rb"^conversations[ \t]*:", re.MULTILINE)
_FLOW = re.compile(rb"""^[ \t{]*["']?(?:flow|states)["']?[ \t]*:""", re.MULTILINE)
_NAME = re.compile(r"""^(?:\{[ \t]*)?["']?flow["']?[ \t]*:[ \t]*["']?([\w-]+)""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A file, read."""

    file: str
    """As it is shown."""
    content: bytes

    @property
    def kind(self) -> Literal["flow", "conversations", "other"]:
        """What it is, by its name and its first level of keys."""
        if re.search(r"\.test\.ya?ml$", self.file) or _CONVERSATIONS.search(self.content):
            return "conversations"
        return "flow" if _FLOW.search(self.content) else "other"

    @property
    def text(self) -> str:
        """Its text; what is no UTF-8 is replaced."""
        return self.content.decode(errors="replace")

    @property
    def flow(self) -> str:
        """The name of the flow that it is, or is about; empty where it names none."""
        found = _NAME.search(self.text)
        return found[1] if found else ""


def sources(places: Iterable[str]) -> Iterator[Source]:
    """The files that paths mean: themselves; of folders every YAML file with a flow or conversations; stdin.

    Raises:
        StartupError: a path is not there, or cannot be read.
    """
    seen: set[Path] = set()
    for place in places:
        if place == "-":
            yield Source(STDIN, sys.stdin.buffer.read(LARGEST + 1))
            continue
        path = Path(place)
        for file in files_below(path) if path.is_dir() else [path]:
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            found = read(file)
            if found.kind != "other" or file == path:
                yield found


def some_sources(places: Iterable[str]) -> list[Source]:
    """The same, of which there is one at least.

    Raises:
        StartupError: there is none.
    """
    found = list(sources(places))
    if not found:
        raise StartupError(f"There is no flow and no conversation file in {', '.join(places)}.")
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """The YAML files in a folder and those below it, in the order of their names."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each[0] != "." and each not in PASSED_OVER)
        yield from (Path(here) / name for name in sorted(names) if name.endswith(KINDS))


def read(path: Path) -> Source:
    """A file; of a large one, the beginning.

    Raises:
        StartupError: it is not there, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return Source(str(path), file.read(LARGEST + 1))
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror}.") from None
